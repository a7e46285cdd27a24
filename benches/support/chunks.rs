//! Documents in chunks, copied in as fast as the server takes them.

#![expect(clippy::disallowed_methods, reason = "copies rows")]

use std::fmt::Write as _;

use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, PgConnection};
use tenantry::ClientId;

use super::embeddings::Mixture;

/// How many chunks a document has.
const CHUNKS: u32 = 10;

/// The rows of one client, and its agent who has a tenth of its documents.
pub(crate) async fn add(
    admin: &mut PgConnection,
    client: ClientId,
    number: u64,
    rows: u32,
    mixture: &mut Mixture<'_>,
) {
    let document = |row: u32| Uuid::from_u64_pair(number + 1, u64::from(row / CHUNKS));
    let mut copy = admin
        .copy_in_raw("copy documents (client_id, id, title) from stdin")
        .await
        .unwrap();
    let mut titles = String::new();
    for at in 0..rows.div_ceil(CHUNKS) {
        let _ = writeln!(titles, "{client}\t{}\tdocument {at}", document(at * CHUNKS));
    }
    copy.send(titles.into_bytes()).await.unwrap();
    copy.finish().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!(
        "insert into agents (client_id, slug, name) values ('{client}', 'tenth', 'Tenth');
         insert into agent_documents (client_id, agent_id, document_id)
         select d.client_id, a.id, d.id
         from (select *, row_number() over (order by id) as at from documents where client_id = '{client}') d
         join agents a on a.client_id = d.client_id
         where at % 10 = 1"
    )))
    .execute(&mut *admin)
    .await
    .unwrap();

    let mut copy = admin
        .copy_in_raw(
            "copy document_chunks (client_id, id, document_id, chunk_index, content, embedding)
             from stdin (format binary)",
        )
        .await
        .unwrap();
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in 0..rows {
        bytes.extend(6_i16.to_be_bytes());
        for id in [
            client.as_uuid(),
            Uuid::from_u64_pair((1 << 32) + number, u64::from(row)),
            document(row),
        ] {
            field(&mut bytes, id.as_bytes());
        }
        field(&mut bytes, &i32::try_from(row % CHUNKS).unwrap().to_be_bytes());
        field(
            &mut bytes,
            "What a chunk of a document says, in some words. "
                .repeat(4)
                .as_bytes(),
        );
        let vector = mixture.next();
        let dimensions = u16::try_from(vector.len()).unwrap();
        let mut value = dimensions.to_be_bytes().to_vec();
        value.extend([0, 0]);
        for element in &vector {
            value.extend(element.to_be_bytes());
        }
        field(&mut bytes, &value);
        if bytes.len() > 1 << 20 {
            copy.send(std::mem::take(&mut bytes)).await.unwrap();
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    copy.send(bytes).await.unwrap();
    copy.finish().await.unwrap();
}

fn field(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
    bytes.extend(value);
}
