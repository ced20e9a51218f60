//! Whatever is appended is replayed, over any number of restarts.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..300),
        (any::<u8>(), 0..3000_usize).prop_map(|(byte, length)| vec![byte; length]),
        (vec(any::<u8>(), 1..20), 0..200_usize).prop_map(|(unit, times)| unit.repeat(times)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_appended_is_replayed(lives in vec(vec((0..5_u64, payloads()), 0..12), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let disk = MemoryDisk::new();
            let mut expected = Vec::new();
            for (epoch, life) in (1..).zip(lives) {
                let (wal, replay) = open(&disk).await;
                assert_eq!(replayed(&replay), expected);
                let mut durables = Vec::new();
                for (stream, payload) in life {
                    expected.push(record(stream, epoch, payload));
                    durables.push(accept(&wal, expected[expected.len() - 1].clone()).await);
                }
                for durable in durables {
                    durable.await.expect("no fault");
                }
                disk.crash(vfs::Unsynced::Lost);
            }
            let (_, replay) = open(&disk).await;
            assert_eq!(replayed(&replay), expected);
            assert_eq!(replay.record_count(), expected.len() as u64);
        });
    }

    #[test]
    fn any_bytes_in_a_segments_place_are_refused_or_cut_and_never_a_panic(bytes in vec(any::<u8>(), 0..2000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let disk = MemoryDisk::new();
            disk.put(&file_name(1), bytes);
            if let Ok((_, replay)) = try_open(&disk).await {
                assert_eq!(replayed(&replay), []);
            }
        });
    }
}
