//! Real records: the flights that left New York in 2013.

use std::io::{BufRead, BufReader};
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::compute::sum;
use arrow::datatypes::Int32Type;

use super::*;

const SMALL: ColumnType = ColumnType::Integer { width: IntegerWidth::Small, unsigned: false };

fn columns() -> Vec<Column> {
    let numbers = ["year", "month", "day", "dep_time", "sched_dep_time", "dep_delay", "arr_time", "sched_arr_time"];
    let mut columns: Vec<Column> = numbers.iter().map(|name| column(name, SMALL)).collect();
    columns.extend([column("arr_delay", SMALL), not_null("carrier", varchar(2)), column("flight", INT)]);
    columns.extend([column("tailnum", varchar(6)), not_null("origin", varchar(3)), not_null("dest", varchar(3))]);
    columns.extend(["air_time", "distance", "hour", "minute"].map(|name| column(name, INT)));
    columns.push(column("time_hour", ColumnType::DATETIME));
    columns
}

/// The flights, in fetches of a thousand.
fn fetches() -> Vec<Fetched> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/data/flights.ndjson.zst");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(zstd::Decoder::new(file).expect("it is compressed"));
    let mut fetches = Vec::new();
    let mut records = Records::default();
    let mut start = 0;
    let mut end = 0;
    for line in lines.lines() {
        records.push(record(end, line.expect("it is text").as_bytes()));
        end += 1;
        if records.len() == 1000 {
            fetches.push(Fetched { stream: StreamId(7), range: range(start, end), records, gaps: Vec::new() });
            (records, start) = (Records::default(), end);
        }
    }
    fetches.push(Fetched { stream: StreamId(7), range: range(start, end), records, gaps: Vec::new() });
    fetches
}

#[derive(Debug, Default, PartialEq)]
struct Figures {
    rows: u64,
    errors: u64,
    delay_nulls: usize,
    delay_sum: i64,
    distance_sum: i64,
}

fn figures(decoder: &mut PipelineDecoder) -> Figures {
    let mut figures = Figures::default();
    for fetched in fetches() {
        let batch = decoder.decode(&origin(), &fetched);
        let column = |name: &str| batch.rows.column_by_name(name).unwrap().as_primitive::<Int32Type>();
        let total = |name: &str| i64::from(sum(column(name)).unwrap_or(0));
        figures.rows += batch.ledger.rows;
        figures.errors += batch.ledger.errors;
        figures.delay_nulls += column("dep_delay").null_count();
        figures.delay_sum += total("dep_delay");
        figures.distance_sum += total("distance");
    }
    figures
}

#[test]
fn all_flights_become_rows_with_the_known_figures() {
    let known =
        Figures { rows: 336_776, errors: 0, delay_nulls: 8_255, delay_sum: 4_152_200, distance_sum: 350_217_607 };
    let mut plain = decoder(columns(), "*", None);
    assert_eq!(figures(&mut plain), known);
    assert_eq!(plain.unknown_fields(), 0);
    let mut computed = decoder(columns(), "*, dep_delay + 0 AS dep_delay", Some("origin IN ('EWR', 'JFK', 'LGA')"));
    assert_eq!(figures(&mut computed), known);
}

#[test]
fn where_counts_what_it_leaves_out() {
    let mut decoder = decoder(columns(), "*", Some("origin = 'JFK'"));
    let ledger = fetches()
        .iter()
        .fold(catalog::Ledger::default(), |sum, fetched| sum.plus(decoder.decode(&origin(), fetched).ledger));
    assert_eq!((ledger.rows, ledger.filtered, ledger.offsets()), (111_279, 336_776 - 111_279, 336_776));
}

#[test]
#[ignore = "a measurement: prints nanoseconds of CPU for each byte of JSON"]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn measure_the_cost_of_a_byte() {
    let fetches = fetches();
    let bytes: usize = fetches.iter().map(|fetched| fetched.records.bytes()).sum();
    let selects = [
        ("*", None),
        ("carrier, origin, dest", None),
        ("*", Some("origin = 'JFK'")),
        ("*, lower(carrier) AS carrier", None),
    ];
    for (projection, filter) in selects {
        let mut decoder = decoder(columns(), projection, filter);
        let best = (0..5).map(|_| {
            let start = std::time::Instant::now();
            let rows: u64 = fetches.iter().map(|fetched| decoder.decode(&origin(), fetched).ledger.rows).sum();
            assert!(rows > 0);
            start.elapsed().as_nanos() as f64 / bytes as f64
        });
        let best = best.fold(f64::INFINITY, f64::min);
        println!("SELECT {projection} {filter:?}: {best:.2} ns/byte");
    }
}
