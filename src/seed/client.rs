#![expect(clippy::disallowed_methods, reason = "reads what a client has of its own")]

use std::collections::BTreeMap;

use secrecy::ExposeSecret as _;
use serde_json::Value;
use sqlx::types::Json;

use super::data_set::{ClientData, CredentialData};
use super::plan::ClientPlan;
use super::report::{Outcome, SeedFinding, SeedFindingKind};
use super::seeding::{Found, Mode, Run};
use crate::client::{ClientId, ClientKey, ClientRecord, ClientRef, ClientStatus};
use crate::directory::{ClientUpdate, Directory as _, failed};
use crate::error::{Error, Result};
use crate::plan::{Feature, Features, Limit, Limits};
use crate::provision::NewClient;

/// What a client has of its own, beside what its tier gives.
struct Own {
    features: BTreeMap<Feature, bool>,
    limits: BTreeMap<Limit, Option<i64>>,
}

impl Run<'_> {
    /// The client as it is in the platform database, and what was found or done there.
    pub(super) async fn client<'r>(&self, plan: &'r ClientPlan<'r>) -> Result<(Vec<Outcome>, Found<'r>)> {
        let by_slug = ClientRef::Slug(plan.slug.clone());
        let Some((at, data)) = &plan.data else {
            let found = self.seed.platform.client(&by_slug).await?;
            let record = found.ok_or(Error::UnknownClient { client: by_slug })?;
            if record.status != ClientStatus::Active {
                return Err(Error::NotServed {
                    client: record.id,
                    status: record.status,
                });
            }
            return Ok((Vec::new(), (plan, Some(record))));
        };
        let lease = self
            .alone(&format!("client {}", plan.slug), &format!("client {}", plan.slug))
            .await?;
        let mut told = Told {
            slug: plan.slug.as_str(),
            at,
            outcomes: Vec::new(),
        };
        let outcome = self.described(&by_slug, data, &mut told).await;
        if let Some(lease) = lease {
            lease.end().await;
        }
        Ok((told.outcomes, (plan, outcome?)))
    }

    async fn described(
        &self,
        by_slug: &ClientRef,
        data: &ClientData,
        told: &mut Told<'_>,
    ) -> Result<Option<ClientRecord>> {
        let mut found = self.seed.platform.client(by_slug).await?;
        let mut created = None;
        if found.is_none() && self.mode == Mode::Apply {
            match self.create(data).await {
                Ok(record) => created = Some(record),
                // Whoever was cut off while it created the client may have been heard by the server all the same.
                Err(refusal @ Error::Refused { .. }) => {
                    found = self.seed.platform.client(by_slug).await?;
                    if found.is_none() {
                        return Err(refusal);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        let was_there = found.is_some();
        let record = match (found, self.mode) {
            (None, _) => created,
            (Some(record), mode) => match (record.status, mode) {
                (ClientStatus::Active, _) | (ClientStatus::Provisioning, Mode::Look) => Some(record),
                (ClientStatus::Provisioning, Mode::Apply) => Some(self.finish(record.id).await?),
                (status, _) => {
                    return Err(Error::NotServed {
                        client: record.id,
                        status,
                    });
                }
            },
        };
        let Some(record) = record else {
            told.missing("(client)", data.slug.as_str());
            for (index, keys) in &data.keys.0 {
                for key in keys {
                    told.missing("(keys)", &format!("{index} {key}"));
                }
            }
            for credential in &data.credentials {
                told.missing("(credentials)", &named(credential));
            }
            return Ok(None);
        };
        let own = self.own(record.id).await?;
        let different = differences(&record, &own, data);
        if self.mode == Mode::Apply && !different.is_empty() {
            self.change(&record, own, data, &different).await?;
        }
        match (was_there, different.is_empty()) {
            (false, _) => told.missing("(client)", data.slug.as_str()),
            (true, true) => told.equal("(client)"),
            (true, false) => told.different("(client)", data.slug.as_str(), different),
        }
        self.keys(record.id, data, told).await?;
        for credential in &data.credentials {
            self.credential(record.id, credential, told).await?;
        }
        // What is not served yet has no rows that could be looked at.
        Ok(Some(record).filter(|record| record.status == ClientStatus::Active))
    }

    async fn create(&self, data: &ClientData) -> Result<ClientRecord> {
        let mut new = NewClient::new(data.name.as_str(), data.slug.clone(), data.tier.as_str());
        if let Some(reference) = &data.external_ref {
            new = new.external_ref(reference.clone());
        }
        if let Some(domain) = &data.domain {
            new = new.domain(domain.clone());
        }
        match &self.seed.provisioning {
            Some(provisioning) => provisioning.provision(new).await,
            None => self.seed.platform.create_client(new).await,
        }
    }

    /// Goes on with a client whose creation was cut off.
    async fn finish(&self, id: ClientId) -> Result<ClientRecord> {
        match &self.seed.provisioning {
            Some(provisioning) => provisioning.resume(id).await,
            None => self.seed.platform.activate(id).await,
        }
    }

    async fn own(&self, id: ClientId) -> Result<Own> {
        type Row = (Json<Features>, Json<BTreeMap<String, Value>>);
        let sql = "select feature_overrides, limit_overrides from platform.clients where id = $1";
        let row: Option<Row> = sqlx::query_as(sql)
            .bind(id)
            .fetch_optional(&self.seed.platform.db)
            .await
            .map_err(failed("reading a client"))?;
        let (features, limits) = row.ok_or(Error::UnknownClient { client: id.into() })?;
        // How a client may be hosted is kept beside its limits, and is none.
        let limits = limits.0.into_iter().filter_map(|(name, most)| {
            let limit: Limit = name.parse().ok()?;
            (most.is_null() || most.is_i64()).then(|| (limit, most.as_i64()))
        });
        Ok(Own {
            features: features.0.into(),
            limits: limits.collect(),
        })
    }

    async fn change(
        &self,
        record: &ClientRecord,
        own: Own,
        data: &ClientData,
        different: &[&'static str],
    ) -> Result<()> {
        let (id, platform) = (record.id, &self.seed.platform);
        let differs = |what: &str| different.contains(&what);
        if differs("tier") {
            platform.set_tier(id, data.tier.as_str()).await?;
        }
        let mut update = ClientUpdate::default().name(data.name.as_str());
        if let Some(reference) = &data.external_ref {
            update = update.external_ref(Some(reference.clone()));
        }
        if let Some(domain) = &data.domain {
            update = update.domain(Some(domain.clone()));
        }
        if ["name", "external_ref", "domain"].into_iter().any(differs) {
            platform.update_client(id, &update).await?;
        }
        if differs("limits") {
            let mut limits = own.limits;
            limits.extend(BTreeMap::from(data.limits.clone()));
            platform.set_limits(id, &Limits::from(limits)).await?;
        }
        if differs("features") {
            let mut features = own.features;
            features.extend(BTreeMap::from(data.features.clone()));
            platform.set_features(id, &Features::from(features)).await?;
        }
        if differs("settings") {
            let settings = data.settings.0.clone().into_iter().collect();
            platform.set_settings(id, &settings).await?;
        }
        Ok(())
    }

    async fn keys(&self, id: ClientId, data: &ClientData, told: &mut Told<'_>) -> Result<()> {
        if data.keys.0.is_empty() {
            return Ok(());
        }
        let there = self.seed.platform.keys(id).await?;
        for (index, keys) in &data.keys.0 {
            for key in keys {
                let key = ClientKey::new(index, key).map_err(|error| Error::Invalid {
                    owner: format!("client {id}"),
                    what: "key".to_owned(),
                    reason: error.to_string(),
                })?;
                if there.contains(&key) {
                    told.equal("(keys)");
                    continue;
                }
                if self.mode == Mode::Apply {
                    self.seed.platform.add_key(id, &key).await?;
                }
                told.missing("(keys)", &key.to_string());
            }
        }
        Ok(())
    }

    async fn credential(&self, id: ClientId, data: &CredentialData, told: &mut Told<'_>) -> Result<()> {
        let name = data.secret.0.as_str();
        let secret = self.secrets.get(name).map_err(|source| Error::Seed {
            of: format!("client {}", told.slug),
            step: "storing a credential",
            source: Box::new(source),
        })?;
        let platform = &self.seed.platform;
        let there = match platform.credential(id, &data.provider, &data.kind).await {
            Ok(there) => Some(there),
            Err(Error::MissingCredential { .. }) => None,
            Err(other) => return Err(other),
        };
        if there
            .as_ref()
            .is_some_and(|there| there.expose_secret() == secret.expose_secret())
        {
            told.equal("(credentials)");
            return Ok(());
        }
        if self.mode == Mode::Apply {
            platform
                .set_credential(id, &data.provider, &data.kind, secret)
                .await?;
        }
        match there {
            None => told.missing("(credentials)", &named(data)),
            Some(_) => told.different("(credentials)", &named(data), vec!["secret"]),
        }
        Ok(())
    }
}

fn named(credential: &CredentialData) -> String {
    format!("{} of {}", credential.kind, credential.provider)
}

/// In what the client is not what it is described as.
fn differences(record: &ClientRecord, own: &Own, data: &ClientData) -> Vec<&'static str> {
    let features: BTreeMap<Feature, bool> = data.features.clone().into();
    let settings = data.settings.0.iter();
    let differ = [
        ("status", record.status != ClientStatus::Active),
        ("tier", record.tier.as_str() != data.tier),
        ("name", record.name != data.name),
        (
            "external_ref",
            data.external_ref.is_some() && record.external_ref != data.external_ref,
        ),
        ("domain", data.domain.is_some() && record.domain != data.domain),
        (
            "limits",
            data.limits
                .iter()
                .any(|(limit, most)| own.limits.get(limit) != Some(&most)),
        ),
        (
            "features",
            features
                .iter()
                .any(|(feature, on)| own.features.get(feature) != Some(on)),
        ),
        (
            "settings",
            // Null takes a setting away.
            settings
                .into_iter()
                .any(|(name, value)| record.settings.get(name).unwrap_or_default() != *value),
        ),
    ];
    differ
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(what, _)| what)
        .collect()
}

/// What is told of a client in the platform database.
struct Told<'t> {
    slug: &'t str,
    at: &'t str,
    outcomes: Vec<Outcome>,
}

impl Told<'_> {
    fn equal(&mut self, table: &str) {
        self.of(table).unchanged += 1;
    }

    fn missing(&mut self, table: &str, key: &str) {
        self.of(table).created += 1;
        self.find(table, key, SeedFindingKind::Missing);
    }

    fn different(&mut self, table: &str, key: &str, columns: Vec<&'static str>) {
        self.of(table).changed += 1;
        let columns = columns.into_iter().map(str::to_owned).collect();
        self.find(table, key, SeedFindingKind::Different { columns });
    }

    fn find(&mut self, table: &str, key: &str, kind: SeedFindingKind) {
        let finding = SeedFinding {
            within: self.slug.to_owned(),
            table: table.to_owned(),
            at: self.at.to_owned(),
            key: key.to_owned(),
            kind,
        };
        self.of(table).findings.push(finding);
    }

    fn of(&mut self, table: &str) -> &mut Outcome {
        let known = self.outcomes.iter().position(|outcome| outcome.table == table);
        let at = known.unwrap_or(self.outcomes.len());
        if known.is_none() {
            self.outcomes.push(Outcome {
                within: self.slug.to_owned(),
                table: table.to_owned(),
                ..Outcome::default()
            });
        }
        &mut self.outcomes[at]
    }
}
