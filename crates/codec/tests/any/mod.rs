//! Any value of the formats, small enough to try many.

use proptest::prelude::*;
use protocol::chain::Predecessor;
use protocol::control::{
    Claim, Claims, Control, ControlRow, EntryPlace, Grant, GrantsTold, Image, NumberGaps, Refused, ShownRefusal,
};
use protocol::entry::{Entry, Operation};
use protocol::ids::{
    ControlNumber, CredentialGeneration, Epoch, GrantProof, Hash, JournalId, Nonce, OwnershipNumber, Position,
    RecordId, ScopeId, Sequence, SiteId, TableRef, Token,
};
use protocol::limits;
use protocol::message::{self, Cursor, FramePartState, PagePartState, ReplyHead, RequestHead, ScopeCursor};
use protocol::page::PageRow;
use protocol::row::{ColumnRef, Row, Value};

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.to_string())),
        "-?[0-9]{1,20}\\.[0-9]{1,20}|-?[0-9]{1,3}[eE][+-]?[0-9]{1,2}".prop_map(Value::Number),
        "[0-9]{3,5}-[0-9]{2}-[0-9]{2}|[0-9A-F]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|.{0,20}"
            .prop_map(Value::Text),
        prop::collection::vec(any::<u16>(), 0..4).prop_map(|numbers| Value::Json(format!("{numbers:?}").replace(' ', ""))),
    ]
}

pub(crate) fn row() -> impl Strategy<Value = Row> {
    let column = prop_oneof![any::<u16>().prop_map(ColumnRef::Known), "[a-z]{1,5}".prop_map(ColumnRef::Named)];
    prop::collection::btree_map(column, value(), 0..8)
        .prop_map(|columns| Row::new(columns.into_iter().collect()).unwrap())
}

fn table() -> impl Strategy<Value = TableRef> {
    prop_oneof![any::<u16>().prop_map(TableRef::Known), "[a-z_]{1,64}".prop_map(TableRef::Named)]
}

fn record() -> impl Strategy<Value = RecordId> {
    "[0-9A-F]{32}|[0-9a-f]{32}|[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}|[a-z é]{1,30}"
        .prop_map(|text| RecordId::new(&text).unwrap())
}

/// An entry of each operation, in each kind of table, under each form of id.
pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    let operation =
        prop_oneof![row().prop_map(Operation::Put), row().prop_map(Operation::Patch), Just(Operation::Delete)];
    (any::<bool>(), any::<u32>(), table(), record(), operation).prop_map(
        |(is_group_end, ownership, table, record, operation)| Entry {
            is_group_end,
            ownership: OwnershipNumber(ownership),
            table,
            record,
            operation,
        },
    )
}

pub(crate) fn page_row() -> impl Strategy<Value = PageRow> {
    (table(), record(), 0..=i64::MAX.cast_unsigned(), prop::option::of(row()))
        .prop_map(|(table, record, position, row)| PageRow { table, record, position: Position(position), row })
}

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

fn scope() -> impl Strategy<Value = ScopeId> {
    prop::collection::vec(any::<u8>(), 0..=limits::SCOPE_BYTES_MAX).prop_map(|bytes| ScopeId::new(&bytes).unwrap())
}

fn cursor() -> impl Strategy<Value = Cursor> {
    any::<[u64; 3]>().prop_map(|[epoch, number, began]| Cursor {
        epoch: Epoch(epoch),
        number: Position(number),
        began: Position(began),
    })
}

pub(crate) fn request_head() -> impl Strategy<Value = RequestHead> {
    let predecessor =
        (any::<[u8; 16]>(), any::<[u64; 2]>(), hash()).prop_map(|(journal, [sequence, promised], hash)| {
            let (sequence, promised) = (Sequence(sequence), Sequence(promised));
            Predecessor { journal: JournalId(journal), sequence, hash, promised }
        });
    let cursors =
        prop::collection::vec((scope(), cursor()).prop_map(|(scope, cursor)| ScopeCursor { scope, cursor }), 0..6);
    let part =
        (scope(), hash(), any::<u32>()).prop_map(|(scope, hash, received)| PagePartState { scope, hash, received });
    let ids = (any::<u32>(), any::<[u8; 16]>(), any::<[u8; 16]>(), prop::option::of(predecessor));
    let numbers = (any::<[u64; 3]>(), hash(), any::<[u32; 3]>(), any::<bool>());
    let claim = (".{1,20}", any::<u32>(), any::<[u8; 16]>()).prop_map(|(store, ownership, proof)| Claim {
        store,
        ownership: OwnershipNumber(ownership),
        proof: GrantProof(proof),
    });
    let refused =
        (any::<[u8; 16]>(), any::<u64>(), "[a-z_]{1,20}", ".{0,40}").prop_map(|(journal, sequence, code, reason)| {
            let place = EntryPlace { journal: JournalId(journal), sequence: Sequence(sequence) };
            ShownRefusal { place, code, reason }
        });
    let claims = (
        any::<u64>(),
        prop::collection::vec(claim.clone(), 0..4),
        prop::collection::vec(refused, 0..3),
        prop::collection::vec(claim, 0..3),
        prop::collection::vec((".{0,40}", any::<u32>()).prop_map(|(store, gaps)| NumberGaps { store, gaps }), 0..3),
    )
        .prop_map(|(told, grants, refused, taken, number_gaps)| {
            let told = ControlNumber(told);
            Claims { told, grants, refused, taken, number_gaps }
        });
    (ids, numbers, cursors, prop::option::of(part), prop::option::of(cursor()), claims).prop_map(
        |(
            (site, token, journal, predecessor),
            (wide, head_hash, narrow, counts_rows),
            cursors,
            page_part,
            heard,
            claims,
        )| {
            RequestHead {
                version: message::VERSION,
                site: SiteId(site),
                token: Token(token),
                journal: JournalId(journal),
                predecessor,
                head: Sequence(wide[0]),
                head_hash,
                generation: CredentialGeneration(narrow[0]),
                control: ControlNumber(wide[1]),
                cursors,
                heard,
                claims,
                page_bytes: narrow[1],
                reply_bytes: narrow[2],
                counts_rows,
                page_part,
                recorded: Sequence(wide[2]),
                further: wide[1].to_le_bytes().to_vec(),
                salt: wide[0].to_le_bytes(),
                answer: (narrow[0] % 2 == 0).then_some(Nonce(token)),
            }
        },
    )
}

/// A control row of each kind.
pub(crate) fn control() -> impl Strategy<Value = Control> {
    let place = || {
        (any::<[u8; 16]>(), any::<u64>())
            .prop_map(|(journal, sequence)| EntryPlace { journal: JournalId(journal), sequence: Sequence(sequence) })
    };
    let image = prop_oneof![
        Just(Image::NotHere),
        (any::<u64>(), row())
            .prop_map(|(position, row)| Image::Here { position: Position(position), row: row.to_bytes() }),
    ];
    let refused = (place(), "[a-z_]{1,20}", ".{0,40}", image).prop_map(|(place, code, reason, image)| Refused {
        journal: place.journal,
        sequence: place.sequence,
        code,
        reason,
        image,
    });
    let grant = (".{1,20}", any::<[u32; 2]>(), any::<bool>(), any::<[u8; 16]>()).prop_map(
        |(store, numbers, is_held, proof)| {
            let [ownership, number_gaps] = numbers;
            Grant { store, ownership: OwnershipNumber(ownership), is_held, proof: GrantProof(proof), number_gaps }
        },
    );
    prop_oneof![
        refused.prop_map(Control::Refused),
        place().prop_map(Control::Waiting),
        place().prop_map(Control::Accepted),
        grant.prop_map(Control::Grant),
        any::<u32>().prop_map(|grants| Control::GrantsTold(GrantsTold { grants })),
    ]
}

pub(crate) fn reply_head() -> impl Strategy<Value = ReplyHead> {
    let control = prop::collection::vec((any::<u64>(), control()), 0..5).prop_map(|rows| {
        let rows = rows.into_iter().map(|(number, control)| {
            let (code, content) = control.to_parts();
            ControlRow { number: ControlNumber(number), code, content }
        });
        rows.collect()
    });
    let part = (hash(), any::<u32>()).prop_map(|(hash, received)| FramePartState { hash, received });
    let numbers = (any::<[u64; 5]>(), any::<u32>(), prop::option::of(any::<u64>()), any::<[bool; 2]>());
    (any::<[u8; 16]>(), hash(), numbers, prop::option::of(part), control).prop_map(
        |(token, received_hash, (wide, admitted_bytes, rows_waiting, flags), frame_part, control)| ReplyHead {
            version: message::VERSION,
            token: Token(token),
            received: Sequence(wide[0]),
            received_hash,
            judged: Sequence(wide[1]),
            backed_up: Sequence(wide[2]),
            epoch: Epoch(wide[3]),
            position: Position(wide[4]),
            admitted_bytes,
            frame_part,
            control,
            has_more_control: flags[0],
            rows_waiting,
            has_pages: flags[1],
            further: token.to_vec(),
        },
    )
}
