//! The account of a table's streams, taken from its log alone: each commit goes on where the one before it ended, accounts for each
//! of its offsets, and its parts hold as many rows as it says. Pure; what is wrong is gathered, and nothing ends the audit.

use std::collections::BTreeMap;

use catalog::{
    AuditEntry, AuditRecord, Epoch, ErrorsMoved, Gap, GapKind, Ledger, Offset, OffsetRange, Part, PartId, PartKind,
    Stream, StreamAdvance, StreamId,
};

/// One stream, as the log has it.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) stream: Stream,
    /// The first offset that no commit covers.
    pub(super) next: Offset,
    pub(super) ledger: Ledger,
    /// Expired and truncated ranges.
    pub(super) gaps: Vec<Gap>,
    epoch: Option<Epoch>,
    /// Where the rows begin that the parts still hold, and how many rows and errors before it a TRUNCATE took away.
    pub(super) from: Offset,
    truncated: (u64, u64),
    pub(super) faults: Vec<String>,
}

impl Account {
    fn new(stream: Stream) -> Self {
        let next = stream.start;
        Self {
            stream,
            next,
            ledger: Ledger::default(),
            gaps: Vec::new(),
            epoch: None,
            from: next,
            truncated: (0, 0),
            faults: Vec::new(),
        }
    }
}

/// What the log says of a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Accounts {
    pub(super) streams: BTreeMap<StreamId, Account>,
    /// The parts that are visible.
    pub(super) parts: BTreeMap<PartId, Part>,
    /// What is wrong with no stream in particular.
    pub(super) faults: Vec<String>,
}

impl Accounts {
    /// Adds the next record of the log.
    pub(super) fn add(&mut self, entry: AuditEntry) {
        let AuditEntry { place, version, record } = entry;
        let at = version.map_or(place, |version| format!("version {version}"));
        match record {
            Err(cause) => self.faults.push(format!("the log's record at {at} cannot be read: {cause}")),
            Ok(AuditRecord::Opened(stream)) => self.opened(stream, &at),
            Ok(AuditRecord::Closed(streams)) => {
                for id in streams {
                    self.with(id, &at, "is closed", |account| account.epoch = None);
                }
            }
            Ok(AuditRecord::Truncated) => {
                self.parts.clear();
                for account in self.streams.values_mut() {
                    account.from = account.next;
                    account.truncated = (account.ledger.rows, account.ledger.errors);
                }
            }
            Ok(AuditRecord::Granted(id, epoch)) => {
                let granted = |account: &mut Account| {
                    if account.epoch >= Some(epoch) {
                        let before = account.epoch.map_or(0, |epoch| epoch.0);
                        account.faults.push(format!("epoch {epoch} is granted at {at}, after epoch {before}"));
                    }
                    account.epoch = Some(epoch);
                };
                self.with(id, &at, "is granted", granted);
            }
            Ok(AuditRecord::Commit { advances, added, removed, moved }) => {
                for advance in &advances {
                    self.with(advance.stream, &at, "is advanced", |account| account.advance(advance, &at));
                }
                for moved in &moved {
                    self.with(moved.stream, &at, "has errors moved", |account| account.move_errors(moved, &at));
                }
                self.replace_parts(added, removed, &at);
            }
        }
    }

    fn opened(&mut self, stream: Stream, at: &str) {
        let id = stream.id;
        if let Some(known) = self.streams.get_mut(&id) {
            known.faults.push(format!("it is opened again at {at}"));
        } else {
            self.streams.insert(id, Account::new(stream));
        }
    }

    fn with(&mut self, id: StreamId, at: &str, what: &str, then: impl FnOnce(&mut Account)) {
        match self.streams.get_mut(&id) {
            Some(account) => then(account),
            None => self.faults.push(format!("stream {id} {what} at {at}, and was never opened")),
        }
    }

    fn replace_parts(&mut self, added: Vec<Part>, removed: Vec<PartId>, at: &str) {
        for id in removed {
            if self.parts.remove(&id).is_none() {
                self.faults.push(format!("part {id} is removed at {at}, and was not there"));
            }
        }
        for part in added {
            let id = part.id;
            if self.parts.insert(id, part).is_some() {
                self.faults.push(format!("part {id} is added again at {at}"));
            }
        }
    }

    /// Compares parts with accounts, once the whole log is read.
    pub(super) fn compare_parts(&mut self) {
        let mut held: BTreeMap<StreamId, (u64, u64)> = BTreeMap::new();
        for part in self.parts.values() {
            let rows: u64 = part.streams.iter().map(|covered| covered.rows).sum();
            if rows != part.rows {
                self.faults.push(format!("part {} has {} rows, and its streams have {rows}", part.id, part.rows));
            }
            for covered in &part.streams {
                let Some(account) = self.streams.get_mut(&covered.stream) else {
                    let id = covered.stream;
                    self.faults.push(format!("part {} covers stream {id}, which was never opened", part.id));
                    continue;
                };
                let counted = held.entry(covered.stream).or_default();
                match part.kind {
                    PartKind::Rows => counted.0 += covered.rows,
                    PartKind::Errors => counted.1 += covered.rows,
                }
                let OffsetRange { start, end } = covered.range;
                if start < account.from || account.next < end || covered.rows > end.0.saturating_sub(start.0) {
                    account.faults.push(format!(
                        "part {} covers offsets {} with {} rows, and the commits cover {} to {}",
                        part.id, covered.range, covered.rows, account.from, account.next
                    ));
                }
            }
        }
        for (id, account) in &mut self.streams {
            let (rows, errors) = held.get(id).copied().unwrap_or_default();
            let (rows_gone, errors_gone) = account.truncated;
            let rows_left = account.ledger.rows.saturating_sub(rows_gone);
            let errors_left = account.ledger.errors.saturating_sub(errors_gone);
            if (rows, errors) != (rows_left, errors_left) {
                account.faults.push(format!(
                    "the commits account for {rows_left} rows and {errors_left} errors, and the parts hold {rows} and {errors}"
                ));
            }
        }
    }
}

impl Account {
    fn advance(&mut self, advance: &StreamAdvance, at: &str) {
        let OffsetRange { start, end } = advance.range;
        if start >= end {
            self.faults.push(format!("the commit at {at} covers {}, which holds no offset", advance.range));
            return;
        }
        if self.next < start {
            self.faults.push(format!("offsets {}..{start} are covered by no commit (the next is at {at})", self.next));
        }
        if start < self.next {
            let twice = OffsetRange::new(start, end.min(self.next));
            self.faults.push(format!("offsets {twice} are covered a second time at {at}"));
        }
        if self.epoch != Some(advance.epoch) {
            let newest = self.epoch.map_or("none".to_owned(), |epoch| epoch.to_string());
            self.faults.push(format!(
                "the commit at {at} was made under epoch {}, and the newest granted was {newest} (I2)",
                advance.epoch
            ));
        }
        let accounted = sum(&advance.ledger);
        if accounted != u128::from(end.0 - start.0) {
            self.faults.push(format!(
                "the commit at {at} covers {}, and accounts for {accounted} offsets (I1)",
                advance.range
            ));
        }
        self.check_gaps(advance, at);
        self.ledger = self.ledger.plus(advance.ledger);
        self.next = self.next.max(end);
    }

    fn check_gaps(&mut self, advance: &StreamAdvance, at: &str) {
        let lost = |kind| {
            let of_kind = advance.gaps.iter().filter(move |gap| gap.kind == kind);
            of_kind.map(|gap| u128::from(gap.range.end.0.saturating_sub(gap.range.start.0))).sum::<u128>()
        };
        let ledger = &advance.ledger;
        if lost(GapKind::Expired) != u128::from(ledger.expired)
            || lost(GapKind::Truncated) != u128::from(ledger.truncated)
        {
            self.faults.push(format!("the gaps named at {at} are not those that it accounts for"));
        }
        self.gaps.extend(&advance.gaps);
    }

    fn move_errors(&mut self, moved: &ErrorsMoved, at: &str) {
        let gone = moved.rows.saturating_add(moved.filtered);
        if gone > self.ledger.errors {
            let errors = self.ledger.errors;
            self.faults.push(format!("{gone} error rows became rows at {at}, and there were {errors} (I1)"));
        }
        self.ledger.errors = self.ledger.errors.saturating_sub(gone);
        self.ledger.rows += moved.rows;
        self.ledger.filtered += moved.filtered;
    }
}

/// [`Ledger::offsets`], for numbers that nobody has vouched for.
fn sum(ledger: &Ledger) -> u128 {
    let Ledger { rows, errors, filtered, skipped, expired, truncated } = *ledger;
    [rows, errors, filtered, skipped, expired, truncated].into_iter().map(u128::from).sum()
}

#[cfg(test)]
mod tests {
    use catalog::{
        BlockChecksums, PartStream, PartitionIdentity, PipelineId, SchemaId, StreamIdentity, StreamState, TableId,
        Version,
    };

    use super::*;

    fn entry(n: u8, record: AuditRecord) -> AuditEntry {
        AuditEntry { place: format!("log/{n}"), version: Some(Version([n; 16])), record: Ok(record) }
    }

    fn opened(start: u64) -> AuditRecord {
        let identity = StreamIdentity::Partition(PartitionIdentity {
            pipeline: PipelineId(1),
            topic: "t".into(),
            incarnation: String::new(),
            partition: 0,
            generation: 0,
        });
        let (id, table) = (StreamId(7), TableId(1));
        AuditRecord::Opened(Stream { id, identity, table, start: Offset(start), state: StreamState::Open })
    }

    fn part(id: u128, kind: PartKind, start: u64, end: u64, rows: u64) -> Part {
        let range = OffsetRange::new(Offset(start), Offset(end));
        Part {
            id: PartId(id),
            table: TableId(1),
            schema: SchemaId(1),
            kind,
            path: format!("{id}.parquet"),
            bytes: 10,
            rows,
            partition: Vec::new(),
            sort_key: Vec::new(),
            streams: vec![PartStream { stream: StreamId(7), range, rows }],
            checksums: BlockChecksums { block_bytes: 10, crc32c: vec![0] },
        }
    }

    /// Offsets `start..end`: the last is an error, the others are rows.
    fn commit(start: u64, end: u64, id: u128) -> AuditRecord {
        let rows = end - start - 1;
        let advance = StreamAdvance {
            stream: StreamId(7),
            epoch: Epoch(1),
            range: OffsetRange::new(Offset(start), Offset(end)),
            ledger: Ledger { rows, errors: 1, ..Ledger::default() },
            gaps: Vec::new(),
        };
        let added =
            vec![part(id, PartKind::Rows, start, end - 1, rows), part(id + 1, PartKind::Errors, end - 1, end, 1)];
        AuditRecord::Commit { advances: vec![advance], added, removed: Vec::new(), moved: Vec::new() }
    }

    fn audited(records: Vec<AuditRecord>) -> Accounts {
        let mut accounts = Accounts::default();
        for (n, record) in records.into_iter().enumerate() {
            accounts.add(entry(n as u8 + 1, record));
        }
        accounts.compare_parts();
        accounts
    }

    fn faults(mut records: Vec<AuditRecord>) -> String {
        let mut all = vec![opened(10), AuditRecord::Granted(StreamId(7), Epoch(1))];
        all.append(&mut records);
        let accounts = audited(all);
        let of_streams = accounts.streams.values().flat_map(|account| account.faults.clone());
        of_streams.chain(accounts.faults.clone()).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_log_that_adds_up_has_no_fault() {
        assert_eq!(faults(vec![commit(10, 20, 1), commit(20, 25, 3)]), "");
    }

    #[test]
    fn i1_i3_a_hole_and_an_overlap_are_named_with_their_offsets() {
        assert!(faults(vec![commit(10, 20, 1), commit(22, 25, 3)]).contains("offsets 20..22 are covered by no commit"));
        let twice = faults(vec![commit(10, 20, 1), commit(18, 25, 3)]);
        assert!(twice.contains("offsets 18..20 are covered a second time"), "{twice}");
    }

    #[test]
    fn i2_a_commit_under_an_old_epoch_is_named() {
        let stale = faults(vec![AuditRecord::Granted(StreamId(7), Epoch(2)), commit(10, 20, 1)]);
        assert!(stale.contains("under epoch 1, and the newest granted was 2"), "{stale}");
    }

    #[test]
    fn i1_a_ledger_and_parts_that_disagree_are_named() {
        let AuditRecord::Commit { mut advances, added, .. } = commit(10, 20, 1) else { unreachable!() };
        advances[0].ledger.rows -= 1;
        let (removed, moved) = (Vec::new(), Vec::new());
        let short = faults(vec![AuditRecord::Commit { advances, added, removed, moved }]);
        assert!(short.contains("accounts for 9 offsets (I1)"), "{short}");
        assert!(short.contains("account for 8 rows and 1 errors, and the parts hold 9 and 1"), "{short}");
    }

    #[test]
    fn i1_error_rows_that_became_rows_are_counted_as_rows() {
        let moved = vec![ErrorsMoved { stream: StreamId(7), rows: 1, filtered: 0 }];
        let rewrite = |removed| AuditRecord::Commit {
            advances: Vec::new(),
            added: vec![part(9, PartKind::Rows, 19, 20, 1)],
            removed,
            moved: moved.clone(),
        };
        assert_eq!(faults(vec![commit(10, 20, 1), rewrite(vec![PartId(2)])]), "");
        let kept = faults(vec![commit(10, 20, 1), rewrite(Vec::new())]);
        assert!(kept.contains("account for 10 rows and 0 errors, and the parts hold 10 and 1"), "{kept}");
        let gone = faults(vec![commit(10, 20, 1), rewrite(vec![PartId(2), PartId(77)])]);
        assert!(gone.contains("is removed at") && gone.contains("and was not there"), "{gone}");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_named_with_its_place() {
        let mut accounts = Accounts::default();
        let record = Err("not JSON".to_owned());
        accounts.add(AuditEntry { place: "log/x".to_owned(), version: None, record });
        assert_eq!(accounts.faults, ["the log's record at log/x cannot be read: not JSON"]);
        let unknown = audited(vec![commit(10, 20, 1)]);
        assert!(unknown.faults[0].contains("stream 7 is advanced"), "{:?}", unknown.faults);
    }
}
