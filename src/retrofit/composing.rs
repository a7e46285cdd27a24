//! The steps of a plan, and what undoes each.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::assign::Rule;
use super::catalogue::{self, HostTable, Reference};
use super::compose::{self, joined, literal};
use super::inspect::{Inspection, Ruled};
use super::phase::RetrofitPhase;
use super::step::{Action, Against, Step};
use crate::client::ClientId;

impl<'a> Inspection<'a> {
    fn step(&mut self, phase: RetrofitPhase, table: &str, forward: Option<Action>, backward: Option<Action>) {
        self.steps.push(Step {
            phase,
            table: table.to_owned(),
            forward,
            backward,
            back_of: None,
        });
    }

    /// The number of the step that was added last.
    fn last(&self) -> i32 {
        i32::try_from(self.steps.len()).unwrap_or(i32::MAX)
    }

    /// A step that is there for the way back of another.
    fn step_back(&mut self, of: Option<i32>, table: &str, forward: Option<Action>, backward: Action) {
        self.steps.push(Step {
            phase: RetrofitPhase::Protection,
            table: table.to_owned(),
            forward,
            backward: Some(backward),
            back_of: of,
        });
    }

    pub(super) async fn compose(&mut self, conn: &mut PgConnection, ruled: &[Ruled<'a>]) -> sqlx::Result<()> {
        for ruled in ruled {
            self.add_column(ruled);
        }
        for ruled in ruled {
            self.assign_rows(ruled);
        }
        for ruled in ruled {
            self.build_keys(ruled.table);
        }
        let oids: Vec<i64> = ruled.iter().map(|ruled| ruled.table.oid).collect();
        let references: Vec<&'a Reference> = (self.catalogue.references.iter())
            .filter(|key| oids.contains(&key.relation) && oids.contains(&key.referenced))
            .collect();
        for key in &references {
            self.add_reference(key);
        }
        self.bridges_and_shares();
        let protection = self.protection(conn, ruled).await?;
        let mut protected = BTreeMap::new();
        for group in connected(&oids, &references) {
            self.protect(&group, &references, &protection);
            let last = self.last();
            protected.extend(group.into_iter().map(|oid| (oid, last)));
        }
        self.way_back(ruled, &protected);
        for (role, client) in &self.wanted.bridges {
            let (open, close) = bridge(role, *client);
            self.step(RetrofitPhase::Finish, "", Some(close), Some(open));
        }
        Ok(())
    }

    fn add_column(&mut self, ruled: &Ruled<'_>) {
        let (table, sql) = (ruled.table, &ruled.table.sql);
        let drop = format!("alter table {sql} drop column client_id");
        let (forward, backward) = match ruled.assign.rule {
            // A constant is kept in the catalogue: no row is written, and none is read to see that it is not null.
            Rule::To(client) => (
                format!("alter table {sql} add column client_id uuid not null default '{client}'"),
                drop,
            ),
            _ => (
                format!(
                    "alter table {sql} add column client_id uuid; {}",
                    compose::triggers(table, &ruled.client)
                ),
                format!("{}; {drop}", compose::no_triggers(table)),
            ),
        };
        self.step(
            RetrofitPhase::Columns,
            &table.qualified(),
            Some(Action::turn(sql, forward)),
            Some(Action::turn(sql, backward)),
        );
    }

    fn assign_rows(&mut self, ruled: &Ruled<'_>) {
        if matches!(ruled.assign.rule, Rule::To(_)) {
            return;
        }
        let (sql, name) = (&ruled.table.sql, ruled.table.qualified());
        let assign = Action::Assign {
            table: sql.clone(),
            oid: ruled.table.oid,
            key: catalogue::key_of(ruled.table),
            client: ruled.client.clone(),
        };
        self.step(RetrofitPhase::Rows, &name, Some(assign), None);
        let check = "tenantry_has_client";
        let phase = RetrofitPhase::Constraints;
        self.step(
            phase,
            &name,
            Some(Action::turn(
                sql,
                format!("alter table {sql} add constraint {check} check (client_id is not null) not valid"),
            )),
            Some(Action::turn(
                sql,
                format!("alter table {sql} drop constraint if exists {check}"),
            )),
        );
        let validate = format!("alter table {sql} validate constraint {check}");
        self.step(phase, &name, Some(Action::quiet(validate)), None);
        // That it holds is known from the constraint: no row is read under the lock.
        self.step(
            phase,
            &name,
            Some(Action::turn(
                sql,
                format!(
                    "alter table {sql} alter column client_id set not null; alter table {sql} drop constraint {check}"
                ),
            )),
            Some(Action::turn(
                sql,
                format!("alter table {sql} alter column client_id drop not null"),
            )),
        );
    }

    fn build_keys(&mut self, table: &HostTable) {
        for key in self.catalogue.keys_of(table.oid) {
            let index = key.new_name();
            let Some(sql) = key.build(table, &index, true) else {
                continue;
            };
            let index = key.qualified(&index);
            self.step(
                RetrofitPhase::Indexes,
                &table.qualified(),
                Some(Action::Build {
                    index: index.clone(),
                    key: key.name.clone(),
                    sql,
                }),
                Some(Action::DropIndex { index }),
            );
        }
    }

    fn add_reference(&mut self, key: &Reference) {
        let phase = RetrofitPhase::References;
        let turn = |sql| Action::Turn {
            tables: sorted(vec![key.table_sql.clone(), key.far_sql.clone()]),
            against: Against::Writers,
            sql,
        };
        let name = compose::quoted(&key.new_name());
        let drop = format!("alter table {} drop constraint if exists {name}", key.table_sql);
        let drop = Action::Turn {
            tables: sorted(vec![key.table_sql.clone(), key.far_sql.clone()]),
            against: Against::Everybody,
            sql: drop,
        };
        self.step(
            phase,
            &key.table_name,
            Some(turn(key.add_by_client())),
            Some(drop),
        );
        if key.valid {
            let validate = Action::quiet(key.validate(&key.new_name()));
            self.step(phase, &key.table_name, Some(validate), None);
        }
    }

    /// Everything that foreign keys tie together is switched and protected in one transaction, forward and back: who
    /// asks by a key of before finds rows by the new one where the policy says whose they are.
    fn protect(
        &mut self,
        group: &[i64],
        references: &[&Reference],
        protection: &BTreeMap<i64, (Vec<String>, Vec<String>)>,
    ) {
        let phase = RetrofitPhase::Protection;
        let catalogue = self.catalogue;
        let tables: Vec<&HostTable> = group.iter().filter_map(|oid| catalogue.table(*oid)).collect();
        let mine: Vec<&&Reference> = (references.iter())
            .filter(|key| group.contains(&key.relation))
            .collect();
        let keys: Vec<_> = (tables.iter())
            .flat_map(|table| catalogue.keys_of(table.oid).map(move |key| (*table, key)))
            .collect();
        let name = (tables.iter())
            .map(|table| table.qualified())
            .collect::<Vec<_>>()
            .join(", ");
        for key in mine.iter().filter(|key| key.valid) {
            let validate = Action::quiet(key.validate(&key.name));
            self.step(phase, &key.table_name, None, Some(validate));
        }
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        let statements = group.iter().filter_map(|oid| protection.get(oid));
        backward.extend(statements.clone().flat_map(|(_, back)| back.iter().cloned()));
        for key in &mine {
            forward.extend(key.switch());
            forward.extend(key.comment());
            backward.push(key.drop());
        }
        for (table, key) in &keys {
            forward.push(key.drop(table));
            backward.push(key.drop(table));
            backward.extend(key.put(table, &key.old_name()));
        }
        for (table, key) in &keys {
            forward.extend(key.put(table, &key.new_name()));
        }
        forward.extend(statements.flat_map(|(there, _)| there.iter().cloned()));
        for key in &mine {
            backward.push(key.add_as_before());
            backward.extend(key.comment());
        }
        let turn = |sql: &[String]| Action::Turn {
            tables: sorted(tables.iter().map(|table| table.sql.clone()).collect()),
            against: Against::Everybody,
            sql: joined(sql),
        };
        self.step(phase, &name, Some(turn(&forward)), Some(turn(&backward)));
    }

    fn bridges_and_shares(&mut self) {
        let phase = RetrofitPhase::Protection;
        let app = compose::quoted(self.app_role);
        for (role, client) in &self.wanted.bridges {
            let (open, close) = bridge(role, *client);
            self.step(phase, "", Some(open), Some(close));
        }
        for name in &self.wanted.shared {
            let Some(table) = (self.catalogue.tables.iter()).find(|table| table.qualified() == *name) else {
                continue;
            };
            let sql = &table.sql;
            let share = format!("select tenantry.share({}::regclass)", literal(sql));
            let mut back = vec![
                format!(
                    "delete from tenantry.shared_tables where relation = {}",
                    table.oid
                ),
                format!("revoke all on table {sql} from public, {app}"),
            ];
            back.extend(table.grants.iter().cloned());
            self.step(
                phase,
                name,
                Some(Action::turn(sql, share)),
                Some(Action::turn(sql, joined(&back))),
            );
        }
    }

    /// What protects each table, and what undoes that.
    async fn protection(
        &self,
        conn: &mut PgConnection,
        ruled: &[Ruled<'a>],
    ) -> sqlx::Result<BTreeMap<i64, (Vec<String>, Vec<String>)>> {
        let mut protection = BTreeMap::new();
        let app = compose::quoted(self.app_role);
        for ruled in ruled {
            let (table, sql) = (ruled.table, &ruled.table.sql);
            let mut held = vec!["public".to_owned(), app.clone()];
            held.extend(self.wanted.bridges.keys().map(|role| compose::quoted(role)));
            let held = held.join(", ");
            let mut forward = vec![
                compose::no_triggers(table),
                format!("select tenantry.protect({}::regclass)", literal(sql)),
            ];
            if !table.oversteppers.is_empty() {
                forward.push(format!(
                    "revoke truncate, references, trigger on table {sql} from {} cascade",
                    table.oversteppers.join(", ")
                ));
            }
            for role in self.wanted.bridges.keys() {
                if catalogue::old_role(conn, role).await?.is_some() {
                    forward.extend(catalogue::effective_rights(conn, table, role).await?);
                }
            }
            let (default, triggers) = match ruled.assign.rule {
                Rule::To(client) => (format!("set default '{client}'"), None),
                _ => (
                    "drop default".to_owned(),
                    Some(compose::triggers(table, &ruled.client)),
                ),
            };
            let mut backward = vec![
                format!("drop policy if exists tenantry_scope on {sql}"),
                format!("drop policy if exists tenantry_open on {sql}"),
                format!("alter table {sql} no force row level security, disable row level security"),
                format!("alter table {sql} alter column client_id {default}"),
                format!("revoke all on table {sql} from {held}"),
            ];
            let sequences = table.sequences.iter();
            backward
                .extend(sequences.map(|sequence| format!("revoke all on sequence {sequence} from {held}")));
            backward.extend(triggers);
            backward.extend(table.grants.iter().cloned());
            protection.insert(table.oid, (forward, backward));
        }
        Ok(protection)
    }

    /// What has to be seen to before protection is undone, last first: the tenants write no more, no row is anybody
    /// else's, and the keys of before hold.
    fn way_back(&mut self, ruled: &[Ruled<'_>], protected: &BTreeMap<i64, i32>) {
        let app = compose::quoted(self.app_role);
        for ruled in ruled {
            let table = ruled.table;
            for key in self.catalogue.keys_of(table.oid) {
                let index = key.qualified(&key.old_name());
                let Some(sql) = key.build(table, &key.old_name(), false) else {
                    continue;
                };
                let build = Action::Build {
                    index: index.clone(),
                    key: key.name.clone(),
                    sql,
                };
                let drop = Action::DropIndex { index };
                let of = protected.get(&table.oid).copied();
                self.step_back(of, &table.qualified(), Some(drop), build);
            }
        }
        for ruled in ruled {
            let sole = Action::Sole {
                table: ruled.table.sql.clone(),
                client: ruled.client.clone(),
            };
            let of = protected.get(&ruled.table.oid).copied();
            self.step_back(of, &ruled.table.qualified(), None, sole);
        }
        for ruled in ruled {
            let sql = &ruled.table.sql;
            let writes = "insert, update, delete";
            self.step_back(
                protected.get(&ruled.table.oid).copied(),
                &ruled.table.qualified(),
                Some(Action::quiet(format!("grant {writes} on table {sql} to {app}"))),
                Action::Turn {
                    tables: vec![sql.clone()],
                    against: Against::Writers,
                    sql: format!("revoke {writes} on table {sql} from {app}"),
                },
            );
        }
    }
}

fn bridge(role: &str, client: ClientId) -> (Action, Action) {
    let role = literal(role);
    (
        Action::quiet(format!("select tenantry.open_bridge({role}, '{client}')")),
        Action::quiet(format!("select tenantry.close_bridge({role})")),
    )
}

/// In one order for everybody.
fn sorted(mut tables: Vec<String>) -> Vec<String> {
    tables.sort();
    tables.dedup();
    tables
}

/// The tables by what foreign keys tie together.
fn connected(tables: &[i64], references: &[&Reference]) -> Vec<Vec<i64>> {
    let mut groups: Vec<Vec<i64>> = tables.iter().map(|table| vec![*table]).collect();
    for key in references {
        let group_of = |groups: &[Vec<i64>], oid| groups.iter().position(|group| group.contains(&oid));
        let (Some(one), Some(other)) = (group_of(&groups, key.relation), group_of(&groups, key.referenced))
        else {
            continue;
        };
        if one != other {
            let moved = groups.swap_remove(one.max(other));
            if let Some(group) = groups.get_mut(one.min(other)) {
                group.extend(moved);
            }
        }
    }
    groups
}
