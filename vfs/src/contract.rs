//! What every implementation of a seam must do, as a suite that its tests run. What only a crash can show is tested where a
//! crash can be had: on [`crate::MemoryDisk`].

use std::io::ErrorKind;

use bytes::Bytes;

use crate::{Disk, DiskEntry};

/// Checks the obligations of [`Disk`] and [`crate::DiskFile`] on an empty disk, and leaves it empty.
///
/// # Panics
/// On the first obligation that is not kept.
pub async fn check_disk(disk: &dyn Disk) {
    assert_eq!(names(disk).await, [] as [&str; 0], "the suite starts from an empty disk");
    check_names(disk).await;
    check_growth(disk).await;
    check_cutting(disk).await;
    assert!(disk.free_bytes().await.expect("free_bytes answers") > 0, "an empty disk has room");
    for entry in entries(disk).await {
        disk.remove(&entry.name).await.expect("a listed file can be removed");
    }
    assert_eq!(names(disk).await, [] as [&str; 0], "what is removed is not listed");
}

async fn check_names(disk: &dyn Disk) {
    disk.create("b").await.expect("a new name");
    disk.create("a").await.expect("another new name");
    let again = disk.create("b").await.expect_err("a name is created once");
    assert_eq!(again.source.kind(), ErrorKind::AlreadyExists);
    assert!(again.to_string().contains('b'), "the error names the file: {again}");
    assert_eq!(names(disk).await, ["a", "b"], "the list is sorted by name");

    disk.remove("b").await.expect("an existing file");
    disk.remove("b").await.expect("removing twice is success: the caller may repeat itself after a crash");
    assert_eq!(names(disk).await, ["a"]);
    let missing = disk.view("b").await.expect_err("it was removed");
    assert_eq!(missing.source.kind(), ErrorKind::NotFound);
    disk.create("b").await.expect("a removed name is free again");
}

async fn check_growth(disk: &dyn Disk) {
    let file = disk.create("grows").await.expect("a new name");
    assert_eq!(&*disk.view("grows").await.expect("a new file can be viewed"), b"" as &[u8]);

    file.append(Bytes::from_static(b"one ")).await.expect("room");
    let early = disk.view("grows").await.expect("unsynced bytes can be viewed by their own process");
    assert_eq!(&*early, b"one ");

    // A sync may run while a later append runs, and neither disturbs the other.
    let (synced, appended) = tokio::join!(file.sync(), file.append(Bytes::from_static(b"two")));
    synced.expect("the sync");
    appended.expect("the append beside it");
    file.sync().await.expect("syncing again after success is allowed");
    assert_eq!(&*disk.view("grows").await.expect("it exists"), b"one two", "appends are in order");
    assert_eq!(&*early, b"one ", "a view does not change as the file grows");

    let listed = entries(disk).await.into_iter().find(|entry| entry.name == "grows");
    assert_eq!(listed, Some(DiskEntry { name: "grows".to_owned(), bytes: 7 }));
}

async fn check_cutting(disk: &dyn Disk) {
    let file = disk.create("cut").await.expect("a new name");
    file.append(Bytes::from_static(b"keep, drop")).await.expect("room");
    disk.truncate("cut", 4).await.expect("an existing file");
    assert_eq!(&*disk.view("cut").await.expect("it exists"), b"keep");
    file.append(Bytes::from_static(b"!")).await.expect("a cut file can grow again");
    file.sync().await.expect("and be synced");
    assert_eq!(&*disk.view("cut").await.expect("it exists"), b"keep!", "an append goes to the end as it is then");

    let missing = disk.truncate("never made", 0).await.expect_err("there is nothing to cut");
    assert_eq!(missing.source.kind(), ErrorKind::NotFound);
}

async fn entries(disk: &dyn Disk) -> Vec<DiskEntry> {
    disk.list().await.expect("the disk can be listed")
}

async fn names(disk: &dyn Disk) -> Vec<String> {
    entries(disk).await.into_iter().map(|entry| entry.name).collect()
}
