//! A canary: a secret that is planted as a credential, looked for in all that this crate says.

use std::fmt::Write;

use futures::TryStreamExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use millrace_vfs::s3_server::{ACCESS_KEY_ID, S3Fault, S3Op, S3Server, credentials};
use millrace_vfs::{
    ObjectStoreAddress, ObjectStoreCredentials, ObjectStoreSettings, SplitSettings, World, check_object_store,
    open_object_store,
};
use object_store::{ObjectStore, ObjectStoreExt};

use crate::rig::{Rig, create, open};

/// What is longer goes up in pieces, of which it is the last.
const SMALL: usize = 100;

fn settings() -> ObjectStoreSettings {
    let usual = crate::rig::settings();
    ObjectStoreSettings { split: SplitSettings { above: SMALL, ..usual.split }, ..usual }
}

const CANARY: &str = "canary-that-nobody-may-see";

/// All faces of something that can be shown.
fn faces<T: std::fmt::Debug + std::fmt::Display + ?Sized>(said: &mut String, shown: &T) {
    writeln!(said, "{shown}\n{shown:?}\n{shown:#?}").unwrap();
}

#[test]
fn a_secret_is_said_by_nothing() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut said = String::new();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let rig = Rig::new().await;
            faces(&mut said, &rig.server.url("millrace"));
            write!(said, "{:?}", rig.server).unwrap();
            // Once as the key, which is then wrong, and once as the token beside a key that is right.
            let wrong = ObjectStoreCredentials {
                access_key_id: Some(ACCESS_KEY_ID.to_owned()),
                secret_access_key: Some(CANARY.to_owned()),
                session_token: Some(CANARY.to_owned()),
            };
            let right = ObjectStoreCredentials { session_token: Some(CANARY.to_owned()), ..credentials() };
            for credentials in [wrong, right] {
                write!(said, "{credentials:?} {credentials:#?}").unwrap();
                all_that_can_fail(&rig.server, &credentials, &mut said).await;
            }
        });
    });
    said.push_str(&recorder.handle().render());
    assert!(said.contains("ExpiredToken") && said.contains("SignatureDoesNotMatch"), "it has seen much");
    assert!(said.contains("cannot be connected to") && said.contains("requests_total"), "it has seen all");
    let at = said.find(CANARY);
    assert!(at.is_none(), "…{}…", &said[at.unwrap_or(0).saturating_sub(300)..][..300.min(said.len())]);
    assert!(!said.contains("only-for-tests-of-millrace"));
}

async fn all_that_can_fail(server: &S3Server, credentials: &ObjectStoreCredentials, said: &mut String) {
    let store = open(&server.url("millrace"), credentials, settings()).await;
    faces(said, store.as_ref());
    for fault in [
        S3Fault::SlowDown,
        S3Fault::InternalError,
        S3Fault::Reset,
        S3Fault::ReplyLost,
        S3Fault::Conflict,
        S3Fault::PreconditionAfterSuccess,
        S3Fault::ExpiredToken,
        S3Fault::TruncatedBody(1),
        S3Fault::ErrorInBody,
    ] {
        for op in [S3Op::Put, S3Op::Get, S3Op::Head, S3Op::List, S3Op::Delete, S3Op::CreateUpload, S3Op::Copy] {
            server.script(op, [fault; 3]);
        }
        ask_all(store.as_ref(), said).await;
        // What was left of the script.
        ask_all(store.as_ref(), said).await;
    }
    for place in ["nowhere", "millrace/elsewhere"] {
        let store = open(&server.url(place), credentials, settings()).await;
        ask_all(store.as_ref(), said).await;
    }
    let closed = open("s3://b?endpoint=http://127.0.0.1:9&allow_http=true", credentials, settings()).await;
    ask_all(closed.as_ref(), said).await;
    for url in ["gs://bucket", "az://container?account=name"] {
        let address: ObjectStoreAddress = url.parse().unwrap();
        match open_object_store(&address, credentials, settings(), &World::system()).await {
            Ok(store) => faces(said, store.as_ref()),
            Err(error) => faces(said, &error),
        }
    }
}

/// Each request once; what it says when it fails.
async fn ask_all(store: &dyn ObjectStore, said: &mut String) {
    let (name, other) = ("a".into(), "b".into());
    let mut note = |error: Option<object_store::Error>| error.iter().for_each(|error| faces(said, error));
    note(store.put(&name, "x".into()).await.err());
    note(store.put_opts(&name, "x".into(), create()).await.err());
    note(store.put(&other, vec![b'x'; SMALL + 1].into()).await.err());
    note(store.put_multipart(&other).await.err());
    match store.get(&name).await {
        Ok(answer) => note(answer.bytes().await.err()),
        error => note(error.err()),
    }
    note(store.head(&name).await.err());
    note(store.copy(&name, &other).await.err());
    note(store.list(None).try_collect::<Vec<_>>().await.err());
    note(store.delete(&name).await.err());
    if let Err(error) = check_object_store(store).await {
        faces(said, &error);
    }
}
