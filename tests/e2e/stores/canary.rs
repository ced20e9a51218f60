//! A secret planted in every setting that takes one, and looked for in everything that the server says.

use super::POSTGRES;
use crate::stage::{BINARY, Stopped};
use millrace_tests::stores::{catalog_in_postgres, s3};
use millrace_tests::{Broker, ServerOptions, events};
use vfs::s3_server::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

const ROOT: &str = "canary-of-root";
const SASL: &str = "canary-of-sasl";
const USER: &str = "canary-of-a-user";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_statements_answer_a_metric_an_error_or_the_log() {
    let Some(catalog) = catalog_in_postgres() else { return };
    let _up = POSTGRES.read().await;
    let password =
        catalog.split_once("://").unwrap().1.split_once('@').unwrap().0.split_once(':').unwrap().1.to_owned();
    let directory = tempfile::tempdir().unwrap();
    let store = s3(directory.path(), 0).await.unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, SECRET_ACCESS_KEY).unwrap();
    let mut options = ServerOptions::new(BINARY, &directory.path().join("data"))
        .with("catalog.url", &catalog)
        .with("object_store.url", &store.url("bucket/canary"))
        .with("object_store.access_key_id", ACCESS_KEY_ID)
        .with("object_store.secret_access_key_file", &key.display().to_string());
    options.environment.push(("MILLRACE_LOG".to_owned(), "debug,hyper=info,h2=info,rustls=info".to_owned()));
    let mut stage = Stopped { options, directory }.start().await;
    let broker = Broker::mock("events", 1).unwrap();
    stage.take_events(&broker, "flush_interval = '100ms'").await;
    for statement in
        [format!("ALTER USER root IDENTIFIED BY '{ROOT}'"), format!("CREATE USER eve IDENTIFIED BY '{USER}'")]
    {
        stage.sql.run(&statement).await.unwrap();
    }
    // It is refused in the end, since the broker asks for none; the error must not repeat it.
    let [_, pipeline] = events::ddl(&broker, "flush_interval = '100ms'");
    let pipeline = pipeline.replace("events_in", "canary_in").replacen(
        "format = ",
        &format!("'security.protocol' = 'SASL_PLAINTEXT', 'sasl.mechanism' = 'PLAIN', 'sasl.username' = 'u', 'sasl.password' = '{SASL}', format = "),
        1,
    );
    let mut said = stage.sql.error(&pipeline).await.unwrap();
    said += &stage.sql.error("SELECT * FROM no_such_table").await.unwrap();

    for statement in [
        "SHOW VARIABLES",
        "SHOW PIPELINES",
        "SHOW TASKS",
        "SHOW WORKERS",
        "SHOW CREATE PIPELINE events_in",
        "SHOW PROCESSLIST",
    ] {
        said += &format!("{:?}", stage.sql.rows(statement).await);
    }
    let tables = stage.sql.rows("SHOW TABLES FROM system").await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        let name = table[0].clone().unwrap();
        said += &format!("{:?}", stage.sql.rows(&format!("SELECT * FROM system.`{name}`")).await.unwrap());
    }
    said += &stage.server.http("/metrics").await.unwrap().1;
    let log = stage.options.log.clone();
    let _stopped = stage.stop().await;
    said += &std::fs::read_to_string(log).unwrap();
    for secret in [ROOT, SASL, USER, SECRET_ACCESS_KEY, password.as_str()] {
        let found = said
            .find(secret)
            .map(|at| String::from_utf8_lossy(&said.as_bytes()[at.saturating_sub(200)..at + 20]).into_owned());
        assert_eq!(found, None, "a secret is told");
    }
}
