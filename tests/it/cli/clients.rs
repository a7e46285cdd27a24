use super::Tool;
use crate::support::HOST;
use tenantry::testing::Fixture;

const MIGRATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agent_platform/migrations");

#[tokio::test]
async fn a_client_is_created_and_changed_and_erased() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    let created = tool
        .json([
            "client",
            "create",
            "Acme",
            "--slug",
            "acme",
            "--tier",
            "adventurer",
            "--external-ref",
            "krn:acme:client:prod-001",
            "--domain",
            "data.acme.example",
            "--migrations",
            MIGRATIONS,
        ])
        .await;
    assert_eq!(created["status"], "active");
    assert_eq!(created["hosting"], "shared");
    let id = created["id"].as_str().unwrap();

    // By whatever name it has.
    for name in [id, "acme", "krn:acme:client:prod-001", "data.acme.example"] {
        assert_eq!(tool.json(["client", "show", name]).await["id"], id, "{name}");
    }
    tool.does([
        "client",
        "set-limits",
        "acme",
        "max_documents=7",
        "max_users=unlimited",
    ])
    .await;
    let limits = &tool.json(["client", "show", "acme"]).await["limits"];
    assert_eq!(
        (&limits["max_documents"], &limits["max_users"]),
        (&7.into(), &serde_json::Value::Null)
    );
    for (command, status) in [
        ("suspend", "suspended"),
        ("resume", "active"),
        ("archive", "archived"),
    ] {
        tool.does(["client", command, "acme"]).await;
        assert_eq!(tool.json(["client", "show", "acme"]).await["status"], status);
    }

    // What cannot be undone is to be meant.
    assert_eq!(tool.run(["client", "erase", "acme"]).await.code, 2);
    let kept = tool.run(["client", "erase", "acme", "--yes"]).await;
    assert_eq!(kept.code, 2, "its retention is not over: {kept:?}");
    tool.does(["client", "erase", "acme", "--yes", "--after-days", "0"])
        .await;
    assert_eq!(tool.run(["client", "show", "acme"]).await.code, 3);
    fixture.close().await;
}

#[tokio::test]
async fn clients_are_listed_by_the_page_and_a_line_each_in_a_pipe() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    for slug in ["one", "two", "three"] {
        fixture.shared_client(slug).await.unwrap();
    }
    let tool = Tool::of(&fixture);
    let out = tool.does(["client", "list"]).await;
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert_eq!(lines[0][..2], ["slug", "name"]);
    assert!(lines.iter().all(|line| line.len() == 6), "{out}");

    let first = tool.run(["client", "list", "--limit", "2"]).await;
    assert_eq!(first.out.lines().count(), 3);
    let next = first.err.trim().strip_prefix("there are more: --after ").unwrap();
    let second = tool
        .json(["client", "list", "--limit", "2", "--after", next])
        .await;
    assert_eq!(second["clients"][0]["slug"], "three");
    assert_eq!(second["next"], serde_json::Value::Null);
    assert_eq!(
        tool.json(["client", "list", "--named", "TW"]).await["clients"][0]["slug"],
        "two"
    );
    assert_eq!(
        tool.json(["client", "list", "--hosting", "dedicated"]).await["clients"],
        serde_json::json!([])
    );
    fixture.close().await;
}

#[tokio::test]
async fn a_secret_of_a_client_goes_in_and_never_comes_out() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let acme = fixture.shared_client("acme").await.unwrap();
    let tool = Tool::of(&fixture);
    let missing = tool
        .run(["client", "credential", "set", "acme", "openai", "api_key"])
        .await;
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("set TENANTRY_CREDENTIAL"), "{missing:?}");
    // It is no argument: not even by mistake.
    let given = tool
        .run([
            "client",
            "credential",
            "set",
            "acme",
            "openai",
            "api_key",
            "sk-plantedsecret0",
        ])
        .await;
    assert_eq!(given.code, 2);
    assert!(given.err.contains("no argument takes a secret"), "{given:?}");

    let with = Tool::of(&fixture).set("TENANTRY_CREDENTIAL", "plantedsecret0");
    with.does(["client", "credential", "set", "acme", "openai", "api_key"])
        .await;
    let (provider, kind) = (tenantry::Provider::OPENAI, tenantry::CredentialKind::API_KEY);
    let stored = fixture
        .platform()
        .credential(acme.id, &provider, &kind)
        .await
        .unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&stored), "plantedsecret0");
    assert_eq!(
        tool.does(["client", "credential", "list", "acme"]).await,
        "provider\tkind\nopenai\tapi_key\n"
    );
    tool.does(["client", "credential", "remove", "acme", "openai", "api_key"])
        .await;
    assert_eq!(
        tool.json(["client", "credential", "list", "acme"]).await,
        serde_json::json!([])
    );
    fixture.close().await;
}
