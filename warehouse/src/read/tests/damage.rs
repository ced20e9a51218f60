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

/// What becomes of a file: cut anywhere, zeros or other bytes in the middle of it, a piece of it in the place of another, bytes behind
/// its end. None if it is what it was.
fn damaged(good: &[u8], random: &SeededRandom) -> Option<Vec<u8>> {
    let place = |length: usize| (random.next_u64() % length as u64) as usize;
    let (at, length) = (place(good.len()), 1 + place(64));
    let piece = at..(at + length).min(good.len());
    let mut bad = good.to_vec();
    match random.next_u64() % 5 {
        0 => bad.truncate(at),
        1 => bad[piece].fill(0),
        2 => bad[piece].iter_mut().for_each(|byte| *byte ^= random.next_u64() as u8 | 1),
        3 => {
            let from = place(good.len() - piece.len() + 1);
            let len = piece.len();
            bad[piece].copy_from_slice(&good[from..from + len]);
        }
        _ => bad.extend((0..length).map(|_| random.next_u64() as u8)),
    }
    (bad != good).then_some(bad)
}

/// Parts of rows and of error rows, read whole, with and without their footers in memory: the rows that were written, or a named
/// error.
#[tokio::test]
async fn whatever_becomes_of_a_part_its_rows_are_right_or_the_part_is_named() {
    const ERRORS: &str = "SELECT count(*), max(_offset), min(reason), max(message) FROM `Flights$errors`";
    let random = SeededRandom::new(7);
    for footer_bytes in [0, 1 << 20] {
        let shop = Shop::open_with(ReadSettings { footer_bytes, ..ReadSettings::default() }).await;
        shop.publish(1, 60);
        shop.commit_all().await;
        shop.retire("w1");
        let whole = (shop.answer(SUM).await, shop.answer(ERRORS).await);
        let (mut named, mut right) = (0, 0);
        for part in shop.catalog.parts() {
            let path = Path::from(part.path.as_str());
            let good = shop.objects.get(&path).await.unwrap().bytes().await.unwrap();
            for bad in (0..80).filter_map(|_| damaged(&good, &random)) {
                let is_longer = bad.len() > good.len();
                shop.objects.put(&path, bad.into()).await.unwrap();
                for (sql, whole) in [(SUM, &whole.0), (ERRORS, &whole.1)] {
                    match shop.rows_of(sql).await {
                        Err(ReadError::Part(PartError::Damaged { part: found, .. })) => {
                            assert!(found == part.id && !is_longer, "what is behind its end is nothing of a part");
                            named += 1;
                        }
                        Err(error) => panic!("{sql}: {error}"),
                        Ok(_) => {
                            assert_eq!(shop.answer(sql).await, *whole, "damage was read as rows");
                            right += 1;
                        }
                    }
                }
            }
            shop.objects.put(&path, good.into()).await.unwrap();
        }
        assert!(named > 100 && right > 100, "{named} named, {right} right");
        assert_eq!((shop.answer(SUM).await, shop.answer(ERRORS).await), whole);
    }
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
