//! A damaged part is an error that names it, never a wrong row.

use std::sync::Arc;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use vfs::{Random, SeededRandom};

use super::super::engine::ReadSettings;
use super::super::errors::ReadError;
use super::super::reader::PartError;
use super::super::testing::{Shop, rows_among};

const SUM: &str =
    "SELECT count(*), sum(id), sum(fare), max(origin), max(departs), max(_offset), min(_stream) FROM Flights";

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_part_is_found_before_a_row_is_returned() {
    // No footer is kept, so that each query reads all of the object.
    let shop = Shop::open_with(ReadSettings { footer_bytes: 0, ..ReadSettings::default() }).await;
    shop.publish(1, 30);
    shop.commit_all().await;
    shop.retire("w1");
    let whole = shop.answer(SUM).await;
    let random = SeededRandom::new(4);
    for part in shop.catalog.parts() {
        let path = Path::from(part.path.as_str());
        let good = shop.objects.get(&path).await.unwrap().bytes().await.unwrap();
        for _ in 0..20 {
            let (at, bit) = ((random.next_u64() % good.len() as u64) as usize, random.next_u64() % 8);
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            shop.objects.put(&path, bad.into()).await.unwrap();
            match shop.rows_of(SUM).await {
                Err(ReadError::Part(PartError::Damaged { part: found, .. })) => assert_eq!(found, part.id),
                // Error rows lie in another part, which this query does not read.
                answer => assert!(part.kind == catalog::PartKind::Errors, "byte {at} bit {bit}: {answer:?}"),
            }
        }
        shop.objects.put(&path, good.into()).await.unwrap();
    }
    assert_eq!(shop.answer(SUM).await, whole);
}

#[tokio::test]
async fn a_missing_and_a_cut_part_are_named_with_their_object() {
    let shop = Shop::open_with(ReadSettings { footer_bytes: 0, ..ReadSettings::default() }).await;
    shop.publish(1, 5);
    shop.commit_all().await;
    let part = Arc::clone(&shop.catalog.parts()[0]);
    let path = Path::from(part.path.as_str());
    let good = shop.objects.get(&path).await.unwrap().bytes().await.unwrap();
    shop.objects.put(&path, good.slice(..good.len() - 1).into()).await.unwrap();
    let error = shop.rows_of(SUM).await.unwrap_err();
    assert!(matches!(error, ReadError::Part(PartError::Damaged { .. })), "{error}");
    shop.objects.delete(&path).await.unwrap();
    let error = shop.rows_of(SUM).await.unwrap_err();
    assert!(matches!(error, ReadError::Part(PartError::Missing { .. })), "{error}");
    assert!(error.to_string().contains(&part.path), "{error}");
    // What the catalog knows needs no object.
    shop.retire("w1");
    assert_eq!(shop.number("SELECT count(*) FROM Flights").await, rows_among(5));
}
