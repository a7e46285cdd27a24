#![expect(clippy::disallowed_methods, reason = "reads the catalogue of a database")]

use sqlx::PgConnection;

use crate::client::ClientId;

/// The tables that are retrofitted, and what is about them.
#[derive(Debug)]
pub(super) struct HostCatalogue {
    pub(super) tables: Vec<HostTable>,
    pub(super) keys: Vec<UniqueKey>,
    pub(super) references: Vec<Reference>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct HostTable {
    pub(super) oid: i64,
    pub(super) schema: String,
    pub(super) name: String,
    /// Schema and name, quoted.
    pub(super) sql: String,
    pub(super) plain: bool,
    pub(super) owned: bool,
    pub(super) protected: bool,
    pub(super) secured: bool,
    pub(super) has_client: bool,
    pub(super) shared: bool,
    pub(super) primary_key: Option<Vec<String>>,
    pub(super) sequences: Vec<String>,
    /// Statements.
    pub(super) grants: Vec<String>,
    pub(super) oversteppers: Vec<String>,
    pub(super) grantees: Vec<String>,
}

/// A unique index, or a constraint by one.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct UniqueKey {
    pub(super) oid: i64,
    pub(super) relation: i64,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) constraint_kind: Option<String>,
    pub(super) deferrable: bool,
    pub(super) deferred: bool,
    /// What its definition begins with, up to its columns.
    pub(super) head: String,
    pub(super) definition: String,
    pub(super) unsupported: Option<String>,
    pub(super) constraint_comment: Option<String>,
    pub(super) index_comment: Option<String>,
}

/// A foreign key.
#[expect(
    clippy::struct_excessive_bools,
    reason = "what the catalogue answers, yes or no each"
)]
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct Reference {
    pub(super) oid: i64,
    pub(super) relation: i64,
    pub(super) referenced: i64,
    pub(super) name: String,
    pub(super) table_sql: String,
    pub(super) table_name: String,
    pub(super) far_sql: String,
    pub(super) far_name: String,
    pub(super) valid: bool,
    pub(super) definition: String,
    pub(super) columns: Vec<String>,
    pub(super) far_columns: Vec<String>,
    pub(super) set_columns: Vec<String>,
    pub(super) on_update: String,
    pub(super) on_delete: String,
    pub(super) deferrable: bool,
    pub(super) deferred: bool,
    pub(super) to_shared: bool,
    pub(super) unsupported: Option<String>,
    pub(super) comment: Option<String>,
}

/// What a role of the old application is.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct OldRole {
    /// Why row-level security would not hold it.
    pub(super) unsafe_because: Option<String>,
}

impl HostTable {
    /// Schema and name, not quoted.
    pub(super) fn qualified(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

impl HostCatalogue {
    /// Reads it inside a transaction whose search path is that of the server, so that texts name schemas.
    pub(super) async fn read(conn: &mut PgConnection) -> sqlx::Result<Self> {
        let tables: Vec<HostTable> = sqlx::query_as(include_str!("tables.sql"))
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;
        let oids: Vec<i64> = tables.iter().map(|table| table.oid).collect();
        let keys = sqlx::query_as(include_str!("keys.sql"))
            .bind(&oids)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;
        let references = sqlx::query_as(include_str!("references.sql"))
            .bind(&oids)
            .persistent(false)
            .fetch_all(&mut *conn)
            .await?;
        Ok(Self {
            tables,
            keys,
            references,
        })
    }

    pub(super) fn table(&self, oid: i64) -> Option<&HostTable> {
        self.tables.iter().find(|table| table.oid == oid)
    }

    pub(super) fn keys_of(&self, oid: i64) -> impl Iterator<Item = &UniqueKey> {
        self.keys.iter().filter(move |key| key.relation == oid)
    }

    pub(super) fn references_of(&self, oid: i64) -> impl Iterator<Item = &Reference> {
        self.references.iter().filter(move |key| key.relation == oid)
    }
}

/// Whether the admin role sees all rows whatever policies say.
pub(super) async fn admin_is_free(conn: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select rolbypassrls or rolsuper from pg_roles where rolname = current_user")
        .fetch_one(conn)
        .await
}

/// Those of the clients that are not served here.
pub(super) async fn not_here(conn: &mut PgConnection, clients: &[ClientId]) -> sqlx::Result<Vec<ClientId>> {
    sqlx::query_scalar(
        "select id from unnest($1::uuid[]) c (id)
         where not exists (select from tenantry.placement p where p.client_id = c.id and p.state = 'active')",
    )
    .bind(clients)
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// Views over tables that show their rows past row-level security to others than their owner, by table.
pub(super) async fn seen_through(
    conn: &mut PgConnection,
    tables: &[i64],
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "select distinct d.refobjid::int8, v.oid::regclass::text
         from pg_depend d
         join pg_rewrite w on w.oid = d.objid
         join pg_class v on v.oid = w.ev_class
         join pg_roles o on o.oid = v.relowner
         where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
           and d.refobjid = any ($1::oid[]) and v.oid <> d.refobjid
           and exists (select from aclexplode(v.relacl) x where x.grantee <> v.relowner)
           and (v.relkind = 'm' or (v.relkind = 'v' and (o.rolbypassrls or o.rolsuper) and not coalesce(
               (select lower(p.option_value) in ('true', 'on', '1', 'yes')
                from pg_options_to_table(v.reloptions) p where p.option_name = 'security_invoker'), false)))
         order by 1, 2",
    )
    .bind(tables)
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// Triggers of the host that an update of a table fires, by table.
pub(super) async fn triggers(
    conn: &mut PgConnection,
    tables: &[i64],
) -> sqlx::Result<Vec<(i64, Vec<String>)>> {
    // Bit 16 of the type is that of updates; triggers of other columns alone are not fired.
    sqlx::query_as(
        "select t.tgrelid::int8, array_agg(t.tgname::text order by t.tgname)
         from pg_trigger t
         where t.tgrelid = any ($1::oid[]) and not t.tgisinternal and t.tgenabled in ('O', 'A')
           and t.tgtype & 16 <> 0 and cardinality(t.tgattr::int2[]) = 0
         group by 1",
    )
    .bind(tables)
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// Sequences that columns take their values from and that are not their own, by table.
pub(super) async fn others_sequences(
    conn: &mut PgConnection,
    tables: &[i64],
) -> sqlx::Result<Vec<(i64, String)>> {
    sqlx::query_as(
        "select distinct a.adrelid::int8, s.oid::regclass::text
         from pg_attrdef a
         join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid and d.refclassid = 'pg_class'::regclass
         join pg_class s on s.oid = d.refobjid and s.relkind = 'S'
         where a.adrelid = any ($1::oid[]) and not exists (
             select from pg_depend o where o.classid = 'pg_class'::regclass and o.objid = s.oid
               and o.refclassid = 'pg_class'::regclass and o.refobjid = a.adrelid and o.deptype in ('a', 'i'))
         order by 1, 2",
    )
    .bind(tables)
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// The column of that name, quoted, where texts tell its values apart.
pub(super) async fn rule_column(
    conn: &mut PgConnection,
    table: i64,
    column: &str,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "select quote_ident(a.attname) from pg_attribute a join pg_type t on t.oid = a.atttypid
         where a.attrelid = $1::oid and a.attname = $2 and a.attnum > 0 and not a.attisdropped
           and (t.typtype = 'e' or t.oid in ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype,
                                             'int2'::regtype, 'int4'::regtype, 'int8'::regtype))",
    )
    .bind(table)
    .bind(column)
    .persistent(false)
    .fetch_optional(conn)
    .await
}

/// Whether a role of the old application is held by row-level security, and what it may do with a table, its grants to
/// everybody included. `None` where there is no such role.
pub(super) async fn old_role(conn: &mut PgConnection, role: &str) -> sqlx::Result<Option<OldRole>> {
    sqlx::query_as(
        "select case
             when has_function_privilege(o.oid, 'tenantry.hello()', 'execute') then 'it is the app role, or takes its rights'
             when exists (select from pg_roles r where pg_has_role(o.oid, r.oid, 'member')
                          and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolreplication))
                 then 'it is, or can become, a superuser or one with BYPASSRLS, CREATEROLE or REPLICATION'
             when exists (select from pg_class c where pg_has_role(o.oid, c.relowner, 'member') and c.relkind in ('r', 'p')
                          and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
                          and c.relnamespace::regnamespace::text !~ '^pg_(toast|temp)')
                 then 'it owns tables, or can become who does'
             when exists (select from pg_trigger t join pg_proc p on p.oid = t.tgfoid
                          where not t.tgisinternal and pg_has_role(o.oid, p.proowner, 'member'))
                 then 'it owns a function that triggers run as others'
             when exists (select from pg_proc p join pg_roles w on w.oid = p.proowner
                          where p.prosecdef and (w.rolsuper or w.rolbypassrls)
                            and p.pronamespace not in ('pg_catalog'::regnamespace, 'tenantry'::regnamespace)
                            and has_function_privilege(o.oid, p.oid, 'execute')
                            and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass
                                            and d.objid = p.oid and d.deptype = 'e'))
                 then 'it may run a SECURITY DEFINER function whose owner sees all rows'
         end as unsafe_because
         from pg_roles o where o.rolname = $1",
    )
    .bind(role)
    .persistent(false)
    .fetch_optional(conn)
    .await
}

/// What gives a role by name the rights on a table, and on its sequences, that it has by whatever way.
pub(super) async fn effective_rights(
    conn: &mut PgConnection,
    table: &HostTable,
    role: &str,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "select format('grant %s on table %s to %I', p, $2::text, $3::name)
         from unnest(array['select', 'insert', 'update', 'delete']) p
         where has_table_privilege($3::name, $1::oid, p)
         union all
         select format('grant %s on sequence %s to %I', p, s, $3::name)
         from unnest($4::text[]) s, unnest(array['usage', 'select']) p
         where has_sequence_privilege($3::name, s, p)",
    )
    .bind(table.oid)
    .bind(&table.sql)
    .bind(role)
    .bind(&table.sequences)
    .persistent(false)
    .fetch_all(conn)
    .await
}

/// How many rows match no value, and the keys of some.
pub(super) async fn unmatched(
    conn: &mut PgConnection,
    table: &HostTable,
    condition: &str,
    values: &[&str],
    sample: u32,
) -> sqlx::Result<(i64, Vec<String>)> {
    let count = format!("select count(*) from only {} r where {condition}", table.sql);
    let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
        .bind(values)
        .persistent(false)
        .fetch_one(&mut *conn)
        .await?;
    if rows == 0 {
        return Ok((0, Vec::new()));
    }
    let keys = format!(
        "select {}::text from only {} r where {condition} limit {sample}",
        key_of(table),
        table.sql
    );
    let sample = sqlx::query_scalar(sqlx::AssertSqlSafe(keys))
        .bind(values)
        .persistent(false)
        .fetch_all(conn)
        .await?;
    Ok((rows, sample))
}

/// The primary key of the row `r` as JSON, or else all of it.
pub(super) fn key_of(table: &HostTable) -> String {
    match &table.primary_key {
        Some(columns) => {
            let columns: Vec<String> = columns.iter().map(|column| format!("r.{column}")).collect();
            format!("jsonb_build_array({})", columns.join(", "))
        }
        None => "to_jsonb(r)".to_owned(),
    }
}
