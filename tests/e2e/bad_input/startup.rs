//! What keeps a server from starting: a port, a directory, a settings file, each named.

use millrace_tests::{ServerOptions, ServerProcess};

use crate::stage::{BINARY, Stage, assert_says};

async fn refusal(options: &ServerOptions) -> String {
    match ServerProcess::start(options).await {
        Ok(_) => panic!("it should not start"),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_in_use_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut options = ServerOptions::new(BINARY, &directory.path().join("data"));
    options.mysql_listen.clone_from(&address);
    assert_says(&refusal(&options).await, &[&address, "in use", "--mysql-listen"]);

    let mut options = ServerOptions::new(BINARY, &directory.path().join("other"));
    options.http_listen.clone_from(&address);
    assert_says(&refusal(&options).await, &[&address, "in use", "--http-listen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_another_process_has_is_named_with_that_process() {
    let stage = Stage::open().await;
    let error = refusal(&stage.options).await;
    let pid = format!("pid {}", stage.server.pid().unwrap());
    assert_says(&error, &[&stage.options.data_dir.display().to_string(), "in use by another process", &pid]);
    let stopped = stage.kill().await;
    drop(stopped.start().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut options = ServerOptions::new(BINARY, &file.join("data"));
    // Its log cannot lie beside it.
    options.environment.push(("MILLRACE_LOG".to_owned(), "error".to_owned()));
    let error = std::process::Command::new(BINARY)
        .args(["standalone", "--mysql-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&options.data_dir)
        .output()
        .unwrap();
    assert!(!error.status.success());
    assert_says(&String::from_utf8_lossy(&error.stderr), &["data directory", "a-file/data", "Not a directory"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settings_file_with_an_unknown_key_or_value_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("millrace.toml");
    for (text, words) in [
        ("[memory]\ningest_limt = '1GiB'\n", &["memory.ingest_limt", "did you mean ingest_limit?"][..]),
        ("[memry]\n", &["[memry]", "did you mean memory?"]),
        ("[wal]\nbytes_max = 'much'\n", &["much", "write it like 64MiB"]),
        ("[wal]\nbytes_max = '1KiB'\n", &["wal.bytes_max", "must be at least"]),
        ("[mysql\n", &["is not TOML"]),
        ("[mysql]\nconnections_max = 'many'\n", &["connections_max", "many"]),
    ] {
        std::fs::write(&config, text).unwrap();
        let mut options = ServerOptions::new(BINARY, &directory.path().join("data"));
        options.config = Some(config.clone());
        let error = refusal(&options).await;
        assert_says(&error, words);
        // A range is told of the value, whose place system.settings tells; everything else is told of the file.
        assert!(error.contains("millrace.toml") || words.contains(&"must be at least"), "{error}");
    }
    let mut options = ServerOptions::new(BINARY, &directory.path().join("data"));
    options.config = Some(directory.path().join("absent.toml"));
    assert_says(&refusal(&options).await, &["cannot read the settings file", "absent.toml"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_the_environment_show_where_they_come_from() {
    let mut stage = Stage::open_with(&[("wal.bytes_max", "2GiB")]).await;
    let row = stage.sql.row("SELECT value, origin FROM system.settings WHERE name = 'wal.bytes_max'").await.unwrap();
    assert_eq!(row, [(2_u64 << 30).to_string(), "environment".to_owned()]);
    let row =
        stage.sql.row("SELECT value, origin FROM system.settings WHERE name = 'mysql.root_password'").await.unwrap();
    assert_eq!(row, ["(none)", "default"]);
}
