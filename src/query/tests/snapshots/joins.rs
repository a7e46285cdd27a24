use super::super::{On, db, spelt};
use super::related;
use crate::query::{Join, LockWait, Order, RowLock};

#[test]
fn a_join_along_the_one_foreign_key() {
    assert_eq!(
        each!(
            db().query("tags")
                .join("talks")
                .columns(["id", "talks.title"])
                .eq("talks.title", "x")
        ),
        [
            "select \"tags\".id, \"talks\".title from public.tags as \"tags\" join public.talks as \"talks\" \
             on \"talks\".client_id = $1 and \"talks\".id = \"tags\".talk_id \
             where \"tags\".client_id = $1 and \"talks\".title = $2",
            "select \"tags\".id, \"talks\".title from public.tags as \"tags\" join public.talks as \"talks\" \
             on \"talks\".client_id = \"tags\".client_id and \"talks\".id = \"tags\".talk_id \
             where \"talks\".title = $1",
        ]
    );
}

#[test]
fn the_same_table_twice() {
    assert_eq!(
        each!(
            db().query("talks")
                .join(Join::left("agents").by("agent_id"))
                .join(Join::inner("agents").alias("deputy").by("deputy_id"))
                .columns(["agents.name", "deputy.name"])
                .order_by("deputy.name", Order::Desc)
        )[0],
        "select \"agents\".name, \"deputy\".name from public.talks as \"talks\" \
         left join public.agents as \"agents\" on \"agents\".client_id = $1 and \"agents\".id = \"talks\".agent_id \
         join public.agents as \"deputy\" on \"deputy\".client_id = $1 and \"deputy\".id = \"talks\".deputy_id \
         where \"talks\".client_id = $1 order by \"deputy\".name desc"
    );
}

#[test]
fn a_join_that_is_declared_and_one_with_a_table_of_all_clients() {
    assert_eq!(
        each!(
            db().query("talks")
                .join(Join::left("models").on("id", "model_id"))
                .join(Join::left("notes").on("subject", "id").on("text", "title")),
            true
        ),
        [
            "select \"talks\".id, \"talks\".agent_id, \"talks\".deputy_id, \"talks\".model_id, \"talks\".title \
             from public.talks as \"talks\" left join public.models as \"models\" on \"models\".id = \"talks\".model_id \
             left join public.notes as \"notes\" on \"notes\".client_id = $1 and \"notes\".subject = \"talks\".id \
             and \"notes\".text = \"talks\".title where \"talks\".client_id = $1",
            "select \"talks\".id, \"talks\".agent_id, \"talks\".deputy_id, \"talks\".model_id, \"talks\".title \
             from public.talks as \"talks\" left join public.models as \"models\" on \"models\".id = \"talks\".model_id \
             left join public.notes as \"notes\" on \"notes\".client_id = \"talks\".client_id \
             and \"notes\".subject = \"talks\".id and \"notes\".text = \"talks\".title",
        ]
    );
    assert_eq!(
        each!(
            db().query("models")
                .join(Join::left("talks").on("model_id", "id"))
                .columns(["talks.title"])
        ),
        [
            "select \"talks\".title from public.models as \"models\" left join public.talks as \"talks\" \
             on \"talks\".client_id = $1 and \"talks\".model_id = \"models\".id",
            "select \"talks\".title from public.models as \"models\" left join public.talks as \"talks\" \
             on \"talks\".model_id = \"models\".id",
        ]
    );
}

#[test]
fn a_count_of_pairs() {
    assert_eq!(
        each!(db().query("talks").join("tags"), false)[0],
        "select count(*) from public.talks as \"talks\" join public.tags as \"tags\" \
         on \"tags\".client_id = $1 and \"tags\".talk_id = \"talks\".id where \"talks\".client_id = $1"
    );
}

#[test]
fn locks() {
    let sql = |rows, wait| each!(db().query("agents").columns(["id"]).lock(rows, wait));
    assert_eq!(
        sql(RowLock::Update, LockWait::Skip),
        [
            "select id from public.agents where client_id = $1 for update skip locked",
            "select id from public.agents for update skip locked",
        ]
    );
    assert!(sql(RowLock::NoKeyUpdate, LockWait::Wait)[1].ends_with(" for no key update"));
    assert!(sql(RowLock::Share, LockWait::Fail)[1].ends_with(" for share nowait"));
    assert!(sql(RowLock::KeyShare, LockWait::Wait)[1].ends_with(" for key share"));
    let joined = each!(
        db().query("tags")
            .join(Join::left("talks"))
            .columns(["id"])
            .limit(1)
            .lock(RowLock::Update, LockWait::Fail)
    );
    assert!(
        joined[0].ends_with(" limit $2 for update of \"tags\" nowait"),
        "{}",
        joined[0]
    );
}
