//! Every type of key there is, in one place: what it begins with, what its key is made of, whether its value can be read. For
//! whoever goes through a catalog as a whole; everybody else names the file of the key that he wants.

use crate::{CatalogError, PartId, Version, WriterId};

use super::*;

/// A type of key: one per file of this folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Channel,
    Checkpoint,
    Copying,
    Counter,
    Database,
    Dropped,
    Format,
    Garbage,
    Head,
    Incident,
    Intent,
    Label,
    LabelAge,
    Lease,
    Log,
    Owner,
    Pipeline,
    PipelineChange,
    PipelineFence,
    PipelineName,
    PipelineOfTable,
    PipelineVersion,
    PipelinesChanged,
    Rewrite,
    ServerLease,
    Stream,
    StreamOfIdentity,
    Table,
    TableFence,
    TableName,
    Token,
    Truncated,
    UnnamedTable,
    User,
    Void,
}

/// What follows the prefix of a key, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Eight bytes.
    Number,
    /// Four bytes.
    Small,
    /// Sixteen bytes, shown as hex: a part or a token.
    Wide,
    /// A slash, which is not shown twice.
    Slash,
    /// Sixteen bytes: a version.
    Version,
    /// A writer's id.
    Writer,
    /// Text, up to the end.
    Text,
    /// Two texts with a zero byte between, up to the end.
    Names,
}

/// One field of a key that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Number(u64),
    Wide(u128),
    Version(Version),
    Writer(WriterId),
    Text(String),
}

/// Where the JSON of a value begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// After the format.
    Plain,
    /// After the format and a version.
    Stamped,
}

impl Kind {
    pub(crate) const ALL: [Self; 35] = [
        Self::Channel,
        Self::Checkpoint,
        Self::Copying,
        Self::Counter,
        Self::Database,
        Self::Dropped,
        Self::Format,
        Self::Garbage,
        Self::Head,
        Self::Incident,
        Self::Intent,
        Self::Label,
        Self::LabelAge,
        Self::Lease,
        Self::Log,
        Self::Owner,
        Self::Pipeline,
        Self::PipelineChange,
        Self::PipelineFence,
        Self::PipelineName,
        Self::PipelineOfTable,
        Self::PipelineVersion,
        Self::PipelinesChanged,
        Self::Rewrite,
        Self::ServerLease,
        Self::Stream,
        Self::StreamOfIdentity,
        Self::Table,
        Self::TableFence,
        Self::TableName,
        Self::Token,
        Self::Truncated,
        Self::UnnamedTable,
        Self::User,
        Self::Void,
    ];

    /// The type of that key; `None` if this program knows no such type.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| match kind.is_single() {
            true => key == kind.prefix().as_bytes(),
            false => key.starts_with(kind.prefix().as_bytes()),
        })
    }

    /// Its name: what its keys begin with.
    pub(crate) fn name(self) -> &'static str {
        self.prefix().trim_end_matches('/')
    }

    /// Whether there is one key of it, which is its prefix.
    pub(crate) fn is_single(self) -> bool {
        self.fields().is_empty()
    }

    /// Whether a value of it may hold what must not be shown: a user's digest, the properties of a Kafka client.
    pub(crate) fn holds_secrets(self) -> bool {
        matches!(self, Self::User | Self::Pipeline | Self::PipelineChange | Self::PipelineVersion)
    }

    pub(crate) fn layout(self) -> Layout {
        match self {
            Self::Head | Self::Label | Self::Owner | Self::PipelinesChanged | Self::Token | Self::Truncated => {
                Layout::Stamped
            }
            _ => Layout::Plain,
        }
    }

    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Channel => channel::PREFIX,
            Self::Checkpoint => checkpoint::PREFIX,
            Self::Copying => copying::PREFIX,
            Self::Counter => counter::PREFIX,
            Self::Database => database::PREFIX,
            Self::Dropped => dropped::PREFIX,
            Self::Format => format::PREFIX,
            Self::Garbage => garbage::PREFIX,
            Self::Head => head::PREFIX,
            Self::Incident => incident::PREFIX,
            Self::Intent => intent::PREFIX,
            Self::Label => label::PREFIX,
            Self::LabelAge => label_age::PREFIX,
            Self::Lease => lease::PREFIX,
            Self::Log => log::PREFIX,
            Self::Owner => owner::PREFIX,
            Self::Pipeline => pipeline::PREFIX,
            Self::PipelineChange => pipeline_change::PREFIX,
            Self::PipelineFence => pipeline_fence::PREFIX,
            Self::PipelineName => pipeline_name::PREFIX,
            Self::PipelineOfTable => pipeline_of_table::PREFIX,
            Self::PipelineVersion => pipeline_version::PREFIX,
            Self::PipelinesChanged => pipelines_changed::PREFIX,
            Self::Rewrite => rewrite::PREFIX,
            Self::ServerLease => server_lease::PREFIX,
            Self::Stream => stream::PREFIX,
            Self::StreamOfIdentity => stream_of_identity::PREFIX,
            Self::Table => table::PREFIX,
            Self::TableFence => table_fence::PREFIX,
            Self::TableName => table_name::PREFIX,
            Self::Token => token::PREFIX,
            Self::Truncated => truncated::PREFIX,
            Self::UnnamedTable => unnamed_table::PREFIX,
            Self::User => user::PREFIX,
            Self::Void => void::PREFIX,
        }
    }

    fn fields(self) -> &'static [Field] {
        use Field::{Names, Number, Slash, Small, Text, Version, Wide, Writer};
        match self {
            Self::Copying | Self::Format | Self::PipelinesChanged | Self::ServerLease => &[],
            Self::Checkpoint
            | Self::Dropped
            | Self::Head
            | Self::Lease
            | Self::Owner
            | Self::Pipeline
            | Self::PipelineChange
            | Self::PipelineFence
            | Self::Stream
            | Self::Table
            | Self::TableFence
            | Self::Truncated
            | Self::UnnamedTable => &[Number],
            Self::Incident | Self::PipelineOfTable | Self::PipelineVersion => &[Number, Number],
            Self::Channel => &[Number, Number, Number],
            Self::Counter | Self::Database | Self::Garbage | Self::User => &[Text],
            Self::PipelineName | Self::TableName => &[Names],
            Self::Label | Self::Rewrite => &[Number, Text],
            Self::LabelAge => &[Number, Number, Text],
            Self::StreamOfIdentity => &[Number, Small, Small, Names],
            Self::Intent => &[Wide],
            Self::Log => &[Number, Slash, Version],
            Self::Token => &[Writer],
            Self::Void => &[Writer, Wide],
        }
    }

    /// Whether `value` can be read as a record of it.
    pub(crate) fn check(self, key: &[u8], value: &[u8]) -> Result<(), CatalogError> {
        match self {
            Self::Channel => channel::deser_value(key, value).map(drop),
            Self::Checkpoint => checkpoint::deser_value(key, value).map(drop),
            Self::Copying => copying::deser_value(key, value).map(drop),
            Self::Counter => counter::deser_value(key, value).map(drop),
            Self::Database => database::deser_value(key, value).map(drop),
            Self::Dropped => dropped::deser_value(key, value).map(drop),
            Self::Format => format::deser_value(key, value).map(drop),
            Self::Garbage => garbage::deser_value(key, value).map(drop),
            Self::Head => head::deser_value(key, value).map(drop),
            Self::Incident => incident::deser_value(key, value).map(drop),
            Self::Intent => intent::deser_value(key, value).map(drop),
            Self::Label => label::deser_value(key, value).map(drop),
            Self::LabelAge => label_age::deser_value(key, value),
            Self::Lease => lease::deser_value(key, value).map(drop),
            Self::Log => log::deser_value(key, value).map(drop),
            Self::Owner => owner::deser_value(key, value).map(drop),
            Self::Pipeline => pipeline::deser_value(key, value).map(drop),
            Self::PipelineChange => pipeline_change::deser_value(key, value).map(drop),
            Self::PipelineFence => pipeline_fence::deser_value(key, value).map(drop),
            Self::PipelineName => pipeline_name::deser_value(key, value).map(drop),
            Self::PipelineOfTable => pipeline_of_table::deser_value(key, value),
            Self::PipelineVersion => pipeline_version::deser_value(key, value).map(drop),
            Self::PipelinesChanged => pipelines_changed::deser_value(key, value).map(drop),
            Self::Rewrite => rewrite::deser_value(key, value).map(drop),
            Self::ServerLease => server_lease::deser_value(key, value).map(drop),
            Self::Stream => stream::deser_value(key, value).map(drop),
            Self::StreamOfIdentity => stream_of_identity::deser_value(key, value).map(drop),
            Self::Table => table::deser_value(key, value).map(drop),
            Self::TableFence => table_fence::deser_value(key, value).map(drop),
            Self::TableName => table_name::deser_value(key, value).map(drop),
            Self::Token => token::deser_value(key, value).map(drop),
            Self::Truncated => truncated::deser_value(key, value).map(drop),
            Self::UnnamedTable => unnamed_table::deser_value(key, value).map(drop),
            Self::User => user::deser_value(key, value).map(drop),
            Self::Void => void::deser_value(key, value),
        }
    }

    /// What the key says after its prefix. The error says what it lacks.
    pub(crate) fn pieces(self, key: &[u8]) -> Result<Vec<Piece>, String> {
        let mut rest = key.strip_prefix(self.prefix().as_bytes()).ok_or("it is of another type")?;
        let mut pieces = Vec::new();
        for field in self.fields() {
            match field {
                Field::Number => pieces.push(Piece::Number(u64::from_be_bytes(take(&mut rest)?))),
                Field::Small => pieces.push(Piece::Number(u32::from_be_bytes(take(&mut rest)?).into())),
                Field::Wide => pieces.push(Piece::Wide(u128::from_be_bytes(take(&mut rest)?))),
                Field::Version => pieces.push(Piece::Version(Version(take(&mut rest)?))),
                Field::Slash if take(&mut rest)? == *b"/" => {}
                Field::Slash => return Err("a slash is missing in it".to_owned()),
                Field::Writer => {
                    let (writer, after) = writer::deser(rest).ok_or("it names no writer")?;
                    pieces.push(Piece::Writer(writer));
                    rest = after;
                }
                Field::Text => pieces.push(Piece::Text(text(std::mem::take(&mut rest))?)),
                Field::Names => {
                    let both = text(std::mem::take(&mut rest))?;
                    let (first, second) = both.split_once('\0').ok_or("it holds one name, not two")?;
                    pieces.extend([first, second].map(|name| Piece::Text(name.to_owned())));
                }
            }
        }
        match rest.len() {
            0 => Ok(pieces),
            surplus => Err(format!("{surplus} bytes follow where it should end")),
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (taken, after) = rest.split_first_chunk::<N>().ok_or_else(|| format!("it ends {N} bytes too early"))?;
    *rest = after;
    Ok(*taken)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|error| format!("its text is none: {error}"))
}

/// A key as people read it: numbers as numbers, slashes between its fields. One that cannot be read so is shown with escapes.
pub(crate) fn readable(key: &[u8]) -> String {
    let Some((kind, pieces)) = Kind::of(key).and_then(|kind| Some((kind, kind.pieces(key).ok()?))) else {
        return show(key);
    };
    let mut shown = kind.prefix().to_owned();
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            shown.push('/');
        }
        match piece {
            Piece::Number(number) => shown.push_str(&number.to_string()),
            Piece::Wide(number) => shown.push_str(&PartId(*number).to_string()),
            Piece::Version(version) => shown.push_str(&version.to_string()),
            Piece::Writer(writer) => shown.push_str(&writer.to_string()),
            Piece::Text(text) => shown.extend(text.chars().flat_map(printable)),
        }
    }
    shown
}

/// A name with a control character in it must not write to a terminal.
fn printable(character: char) -> impl Iterator<Item = char> {
    let escaped = character.is_control().then(|| character.escape_default());
    escaped.into_iter().flatten().chain((!character.is_control()).then_some(character))
}
