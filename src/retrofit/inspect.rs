//! Looking at the tables, and planning what is done to them.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::assign::{Assign, Rule};
use super::catalogue::{self, HostCatalogue, HostTable, Reference};
use super::compose::{RuleSql, client_of_row};
use super::finding::RetrofitFinding;
use super::options::HostTriggers;
use super::plan::{Draft, RetrofitPlan};
use super::step::Step;
use crate::client::ClientId;

/// Where sqlx notes the host's migrations, unless it is told another name.
const LEDGER: &str = "_sqlx_migrations";

/// What is to be retrofitted, and how.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) assign: Assign,
    pub(super) by_table: BTreeMap<String, Assign>,
    pub(super) left_out: Vec<String>,
    pub(super) shared: Vec<String>,
    pub(super) bridges: BTreeMap<String, ClientId>,
    pub(super) host_triggers: HostTriggers,
    pub(super) sample: u32,
}

/// A table with the rule of its rows.
#[derive(Debug)]
pub(super) struct Ruled<'a> {
    pub(super) table: &'a HostTable,
    pub(super) assign: &'a Assign,
    /// The client of its row `r`.
    pub(super) client: String,
    /// How far it is from a table whose rule has no parent.
    depth: usize,
}

/// What was found, and the steps that it comes to.
pub(super) struct Inspection<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) catalogue: &'a HostCatalogue,
    pub(super) retrofit: Uuid,
    pub(super) app_role: &'a str,
    pub(super) findings: Vec<RetrofitFinding>,
    pub(super) steps: Vec<Step>,
}

impl Wanted {
    fn assign_of(&self, table: &HostTable) -> &Assign {
        self.by_table.get(&table.qualified()).unwrap_or(&self.assign)
    }

    /// Plans inside a transaction whose search path is that of the server.
    pub(super) async fn plan(&self, conn: &mut PgConnection, app_role: &str) -> sqlx::Result<RetrofitPlan> {
        let catalogue = HostCatalogue::read(conn).await?;
        let mut inspection = Inspection {
            wanted: self,
            catalogue: &catalogue,
            retrofit: Uuid::new_v4(),
            app_role,
            findings: Vec::new(),
            steps: Vec::new(),
        };
        let taken = inspection.tables();
        let ruled = inspection.rules(conn, &taken).await?;
        inspection.look(conn, &ruled).await?;
        inspection.compose(conn, &ruled).await?;
        let values = ruled.iter().flat_map(|ruled| {
            let clients = match &ruled.assign.rule {
                Rule::Column { clients, .. } => Some(clients),
                _ => None,
            };
            let clients = clients.into_iter().flatten();
            clients.map(|(value, client)| (ruled.table.oid, value.clone(), *client))
        });
        let draft = Draft {
            retrofit: inspection.retrofit,
            tables: ruled.iter().map(|ruled| ruled.table.oid).collect(),
            values: values.collect(),
            steps: inspection.steps,
        };
        let tables = ruled.iter().map(|ruled| ruled.table.qualified()).collect();
        Ok(RetrofitPlan::new(inspection.findings, tables, draft))
    }
}

impl<'a> Inspection<'a> {
    fn find(&mut self, finding: RetrofitFinding) {
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// The tables that become the tenants'.
    fn tables(&mut self) -> Vec<&'a HostTable> {
        let named = (self.wanted.by_table.keys())
            .chain(&self.wanted.left_out)
            .chain(&self.wanted.shared);
        let missing: Vec<String> = named
            .filter(|name| {
                !self
                    .catalogue
                    .tables
                    .iter()
                    .any(|table| table.qualified() == **name)
            })
            .cloned()
            .collect();
        for table in missing {
            self.find(RetrofitFinding::NoSuchTable { table });
        }
        let mut taken = Vec::new();
        for table in &self.catalogue.tables {
            let name = table.qualified();
            let is_named = |names: &[String]| names.contains(&name);
            if table.name == LEDGER
                || table.protected
                || table.shared
                || is_named(&self.wanted.left_out)
                || is_named(&self.wanted.shared)
            {
                continue;
            }
            taken.push(table);
            for (wrong, finding) in [
                (!table.plain, RetrofitFinding::NotPlain { table: name.clone() }),
                (!table.owned, RetrofitFinding::NotOwned { table: name.clone() }),
                (
                    table.has_client,
                    RetrofitFinding::HasClientColumn { table: name.clone() },
                ),
                (
                    table.secured,
                    RetrofitFinding::HasPolicies { table: name.clone() },
                ),
                (
                    table.primary_key.is_none(),
                    RetrofitFinding::NoPrimaryKey { table: name },
                ),
            ] {
                if wrong {
                    self.find(finding);
                }
            }
        }
        taken
    }

    /// The tables with their rules, parents first.
    async fn rules(
        &mut self,
        conn: &mut PgConnection,
        taken: &[&'a HostTable],
    ) -> sqlx::Result<Vec<Ruled<'a>>> {
        let mut ruled = Vec::with_capacity(taken.len());
        for table in taken.iter().copied() {
            let assign = self.wanted.assign_of(table);
            let client = match &assign.rule {
                Rule::To(_) => client_of_row(self.retrofit, table.oid, assign, RuleSql::Column("")),
                Rule::Column { column, .. } => {
                    let Some(sql) = catalogue::rule_column(conn, table.oid, column).await? else {
                        self.find(RetrofitFinding::NoSuchColumn {
                            table: table.qualified(),
                            column: column.clone(),
                        });
                        continue;
                    };
                    self.count_unmatched(conn, table, assign, &sql).await?;
                    client_of_row(self.retrofit, table.oid, assign, RuleSql::Column(&sql))
                }
                Rule::Parent { constraint } => {
                    let Some(key) = self.parent(table, constraint, taken) else {
                        self.find(RetrofitFinding::NoSuchParent {
                            table: table.qualified(),
                            constraint: constraint.clone(),
                        });
                        continue;
                    };
                    client_of_row(self.retrofit, table.oid, assign, RuleSql::Parent(key))
                }
            };
            ruled.push(Ruled {
                table,
                assign,
                client,
                depth: self.depth(table, taken),
            });
        }
        ruled.sort_by_key(|ruled| ruled.depth);
        Ok(ruled)
    }

    fn parent(&self, table: &HostTable, constraint: &str, taken: &[&'a HostTable]) -> Option<&'a Reference> {
        self.catalogue.references_of(table.oid).find(|key| {
            key.name == constraint
                && key.referenced != table.oid
                && taken.iter().any(|other| other.oid == key.referenced)
        })
    }

    /// A circle of parents ends where it has been through all tables: its rows match nothing.
    fn depth(&self, table: &HostTable, taken: &[&'a HostTable]) -> usize {
        let (mut at, mut depth) = (table, 0);
        while let Rule::Parent { constraint } = &self.wanted.assign_of(at).rule
            && let Some(key) = self.parent(at, constraint, taken)
            && let Some(parent) = self.catalogue.table(key.referenced)
            && depth < taken.len()
        {
            (at, depth) = (parent, depth + 1);
        }
        depth
    }

    async fn count_unmatched(
        &mut self,
        conn: &mut PgConnection,
        table: &HostTable,
        assign: &Assign,
        column: &str,
    ) -> sqlx::Result<()> {
        let Rule::Column { clients, .. } = &assign.rule else {
            return Ok(());
        };
        if assign.otherwise.is_some() {
            return Ok(());
        }
        let values: Vec<&str> = clients.keys().map(String::as_str).collect();
        let condition = format!("(r.{column}::text = any ($1)) is not true");
        let (rows, sample) =
            catalogue::unmatched(conn, table, &condition, &values, self.wanted.sample).await?;
        if rows > 0 {
            self.find(RetrofitFinding::Unmatched {
                table: table.qualified(),
                rows,
                sample,
            });
        }
        Ok(())
    }

    /// What stands against it, or is to be known.
    async fn look(&mut self, conn: &mut PgConnection, ruled: &[Ruled<'a>]) -> sqlx::Result<()> {
        let oids: Vec<i64> = ruled.iter().map(|ruled| ruled.table.oid).collect();
        if !catalogue::admin_is_free(conn).await? {
            self.find(RetrofitFinding::AdminIsHeld);
        }
        let mut clients: Vec<ClientId> = (ruled.iter().flat_map(|ruled| ruled.assign.clients()))
            .chain(self.wanted.bridges.values().copied())
            .collect();
        clients.sort_unstable();
        clients.dedup();
        for client in catalogue::not_here(conn, &clients).await? {
            self.find(RetrofitFinding::ClientNotHere { client });
        }
        for role in self.wanted.bridges.keys() {
            let reason = match catalogue::old_role(conn, role).await? {
                None => Some("there is none".to_owned()),
                Some(role) => role.unsafe_because,
            };
            if let Some(reason) = reason {
                self.find(RetrofitFinding::UnsafeRole {
                    role: role.clone(),
                    reason,
                });
            }
        }
        let name_of = |oid: i64| {
            self.catalogue
                .table(oid)
                .map(HostTable::qualified)
                .unwrap_or_default()
        };
        let mut found = Vec::new();
        for (oid, view) in catalogue::seen_through(conn, &oids).await? {
            found.push(RetrofitFinding::SeenThrough {
                table: name_of(oid),
                view,
            });
        }
        for (oid, sequence) in catalogue::others_sequences(conn, &oids).await? {
            found.push(RetrofitFinding::SequenceOfNobody {
                table: name_of(oid),
                sequence,
            });
        }
        if self.wanted.host_triggers == HostTriggers::Stop {
            let written: Vec<i64> = (ruled.iter())
                .filter(|ruled| !matches!(ruled.assign.rule, Rule::To(_)))
                .map(|ruled| ruled.table.oid)
                .collect();
            for (oid, triggers) in catalogue::triggers(conn, &written).await? {
                found.push(RetrofitFinding::TriggersFire {
                    table: name_of(oid),
                    triggers,
                });
            }
        }
        for ruled in ruled {
            for role in &ruled.table.grantees {
                if role != self.app_role && !self.wanted.bridges.contains_key(role) {
                    found.push(RetrofitFinding::OtherRole {
                        table: ruled.table.qualified(),
                        role: role.clone(),
                    });
                }
            }
        }
        for finding in found {
            self.find(finding);
        }
        self.look_at_keys(&oids);
        Ok(())
    }

    fn look_at_keys(&mut self, oids: &[i64]) {
        let catalogue = self.catalogue;
        for key in &catalogue.keys {
            let Some(table) = catalogue
                .table(key.relation)
                .filter(|table| oids.contains(&table.oid))
            else {
                continue;
            };
            let table_name = table.qualified();
            let undefined = key.build(table, "", true).is_none().then_some("the index");
            if let Some(what) = key.unsupported.as_deref().or(undefined) {
                self.find(RetrofitFinding::Unsupported {
                    table: table_name,
                    what: format!("{what} {}", key.name),
                });
            } else if key.constraint_kind.as_deref() != Some("p") {
                self.find(RetrofitFinding::KeyPerClient {
                    table: table_name,
                    key: key.name.clone(),
                    constraint: key.constraint_kind.is_some(),
                });
            }
        }
        for key in &catalogue.references {
            let (from, to) = (oids.contains(&key.relation), oids.contains(&key.referenced));
            let to_shared = key.to_shared || self.wanted.shared.contains(&key.far_name);
            let (table, constraint) = (key.table_name.clone(), key.name.clone());
            match (from, to) {
                (true, true) => {
                    if let Some(what) = &key.unsupported {
                        let what = format!("{what} of the foreign key {constraint}");
                        self.find(RetrofitFinding::Unsupported { table, what });
                    } else if matches!(key.on_delete.as_str(), "n" | "d") {
                        self.find(RetrofitFinding::SetsNull { table, constraint });
                    }
                }
                (true, false) if !to_shared => self.find(RetrofitFinding::LeadsOutside {
                    table,
                    constraint,
                    to: key.far_name.clone(),
                }),
                (false, true) => self.find(RetrofitFinding::ReferredFromOutside {
                    table,
                    constraint,
                    to: key.far_name.clone(),
                }),
                _ => {}
            }
        }
    }
}
