use super::*;

fn connect(url: &str) -> (SecretString, PgConnectOptions) {
    (url.into(), url.parse().unwrap())
}

/// As after the pool was opened and its catalogue read.
fn opened(pools: &Arc<DedicatedPools>, database: &DedicatedDatabase) -> Arc<CatalogueCell> {
    let catalogue = Arc::new(CatalogueCell::new(Catalogue::default()));
    *database.slot.write() = Some(Arc::new(OpenPool {
        pool: PgPoolOptions::new().connect_lazy_with(database.slot.connect.clone()),
        catalogue: Arc::clone(&catalogue),
        own_indexes: Arc::default(),
        last_used: AtomicU64::new(0),
        _room: Arc::clone(&pools.room).try_acquire_owned().unwrap(),
    }));
    catalogue
}

#[tokio::test]
async fn the_catalogue_stays_known_where_only_the_credential_is_another() {
    const FIRST: &str = "postgres://app:one@db.example/acme";
    let others = [
        ("postgres://app:two@db.example/acme", true),
        ("postgres://app:one@db.example/acme?sslmode=disable", true),
        ("postgres://app:one@db.example:6432/acme", false),
        ("postgres://app:one@other.example/acme", false),
        ("postgres://other:one@db.example/acme", false),
        ("postgres://app:one@db.example/other", false),
        (
            "postgres://app:one@db.example/acme?options=-c%20search_path%3Dother",
            false,
        ),
    ];
    for (other, stays) in others {
        let pools = Arc::new(DedicatedPools::new(1, Duration::ZERO, PgPoolOptions::new(), None));
        let client = ClientId::new();
        let database = |url| {
            let (url, connect) = connect(url);
            pools.database(client, &url, connect)
        };
        let first = database(FIRST);
        let catalogue = opened(&pools, &first);
        let second = database(other);
        let known = |of: &DedicatedDatabase| {
            let known = of.slot.catalogue.as_ref();
            known.is_some_and(|known| Arc::ptr_eq(known, &catalogue))
        };
        assert_eq!(known(&second), stays, "{other}");
        // Also where it was not opened in between.
        let third = database(&other.replace("app:", "app:three"));
        assert_eq!(known(&third), stays, "{other}");
    }
}
