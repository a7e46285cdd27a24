//! The keys that tickets are signed with, and the signature itself.
#![expect(
    clippy::disallowed_methods,
    reason = "calls the kernel's own functions as the admin role"
)]

use hex::encode as hex;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tenantry::{Error, Isolation, TransactionOptions};

use super::{Pool, Ticket};
use crate::sql::{refused, run};

/// RFC 4231, section 4, without the truncated case 5: key, data, HMAC-SHA256.
fn rfc_4231() -> [(Vec<u8>, Vec<u8>, &'static str); 6] {
    let long = "This is a test using a larger than block-size key and a larger than block-size data. \
                The key needs to be hashed before being used by the HMAC algorithm.";
    [
        (
            vec![0x0b; 20],
            b"Hi There".to_vec(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            vec![0xaa; 20],
            vec![0xdd; 50],
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
        ),
        (
            (1..=25).collect(),
            vec![0xcd; 50],
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
        ),
        (
            vec![0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First".to_vec(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            vec![0xaa; 131],
            long.as_bytes().to_vec(),
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ]
}

#[tokio::test]
async fn the_mac_is_hmac_sha256_by_the_vectors_of_rfc_4231() {
    let mut pool = Pool::start().await;
    for (key, data, expected) in rfc_4231() {
        let mac: Vec<u8> = sqlx::query_scalar(
            "select tenantry.mac(pads.inner_pad, pads.outer_pad, $2) from tenantry.pad_key($1) pads",
        )
        .bind(&key)
        .bind(&data)
        .fetch_one(&mut pool.admin)
        .await
        .unwrap();
        assert_eq!(hex(mac), expected, "key of {} bytes", key.len());
    }
    // Exactly a block, and one byte more, which is hashed first.
    for length in [64, 65] {
        let key = vec![0x5a; length];
        let mac: Vec<u8> = sqlx::query_scalar(
            "select tenantry.mac(pads.inner_pad, pads.outer_pad, 'x') from tenantry.pad_key($1) pads",
        )
        .bind(&key)
        .fetch_one(&mut pool.admin)
        .await
        .unwrap();
        let mut expected = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        expected.update(b"x");
        assert_eq!(hex(mac), hex(expected.finalize().into_bytes()));
    }
    let short = refused(
        &mut pool.admin,
        &format!("select tenantry.install_key(8, '\\x{}')", "ab".repeat(31)),
    )
    .await;
    assert_eq!(
        (&*short.code, &*short.message),
        ("TN006", "a scope key has at least 32 bytes")
    );
}

#[tokio::test]
async fn two_keys_are_valid_during_a_rotation_and_one_after_it() {
    let mut pool = Pool::start().await;
    let manager = pool.fixture.manager().await.unwrap();
    let db = manager.tenant(pool.client.id).await.unwrap();
    db.begin().await.unwrap().commit().await.unwrap();
    run(
        &mut pool.admin,
        &format!("select tenantry.install_key(2, '\\x{}')", hex([2; 32])),
    )
    .await;
    let new = |pool: &Pool| {
        let ticket = Ticket {
            key_id: 2,
            ..pool.ticket()
        };
        ticket.signed_with(&[2; 32])
    };
    // The library goes on with key 1.
    let ticket = new(&pool);
    assert_eq!(pool.enter(&ticket).await, "entered");
    db.begin().await.unwrap().commit().await.unwrap();
    let twice = refused(
        &mut pool.admin,
        &format!("select tenantry.install_key(2, '\\x{}')", hex([3; 32])),
    )
    .await;
    assert_eq!(twice.code, "23505");

    run(
        &mut pool.admin,
        "delete from tenantry.scope_keys where key_id = 1",
    )
    .await;
    let ticket = new(&pool);
    assert_eq!(pool.enter(&ticket).await, "entered");
    // What is bound stays so; nothing more is.
    assert_eq!(db.query("agents").count().await.unwrap(), 0);
    db.begin().await.unwrap().commit().await.unwrap();
    let snapshot = TransactionOptions::default().isolation(Isolation::RepeatableRead);
    let error = db.begin_with(snapshot).await.unwrap_err();
    assert!(
        matches!(&error, Error::ScopeRefused { client, .. } if *client == pool.client.id),
        "{error}"
    );
    assert!(!error.is_retryable());
    let error = db.query("agents").count().await.unwrap_err();
    assert!(matches!(error, Error::ScopeRefused { .. }), "{error}");
    manager.close().await;
}
