//! Protobuf as it lies in a file: fields over borrowed bytes, each length checked, nothing copied.
//!
//! Generated decoders merge what is given twice, take any number of parts, and copy the weights. A foreign file is read
//! here instead: a field that may stand once is refused the second time, because another reader could choose the other
//! one; every part is paid for out of a [`Budget`]; weights stay where they are.

use std::cell::Cell;

use prost::encoding::{WireType, decode_key, decode_varint};

/// Parts (messages, names, numbers) that a graph may consist of. The largest public encoders have some 30,000.
const MOST_PARTS: usize = 1 << 20;
/// Graphs inside of graphs, and types inside of types.
const DEEPEST: usize = 8;

/// What is wrong, and where in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) problem: String,
}

pub(super) type Read<T> = Result<T, Fault>;

/// What reading a file may still cost.
#[derive(Debug)]
pub(super) struct Budget {
    parts: Cell<usize>,
    depth: Cell<usize>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { parts: Cell::new(MOST_PARTS), depth: Cell::new(0) }
    }

    /// Pays for one part.
    pub(super) fn pay(&self, at: usize) -> Read<()> {
        match self.parts.get().checked_sub(1) {
            Some(left) => self.parts.set(left),
            None => return fault(at, format!("it has more than {MOST_PARTS} parts")),
        }
        Ok(())
    }

    /// Reads something that may hold more of its own kind.
    pub(super) fn nested<T>(&self, at: usize, read: impl FnOnce() -> Read<T>) -> Read<T> {
        if self.depth.get() >= DEEPEST {
            return fault(at, format!("it is nested deeper than {DEEPEST} levels"));
        }
        self.depth.set(self.depth.get() + 1);
        let done = read();
        self.depth.set(self.depth.get() - 1);
        done
    }
}

pub(super) fn fault<T>(at: usize, problem: impl Into<String>) -> Read<T> {
    Err(Fault { at, problem: problem.into() })
}

/// The fields of one message, in file order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    rest: &'a [u8],
    at: usize,
}

/// One field: its number in the schema, and what it holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) number: u32,
    pub(super) at: usize,
    content: Content<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Content<'a> {
    Varint(u64),
    Fixed(&'static str),
    Bytes(&'a [u8], usize),
}

impl<'a> Message<'a> {
    /// A message that is the whole file.
    pub(super) fn whole(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    /// The next field; none at the end.
    pub(super) fn next(&mut self, budget: &Budget) -> Read<Option<Field<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        budget.pay(at)?;
        let mut rest = self.rest;
        let (number, kind) = decode_key(&mut rest).map_err(|error| Fault { at, problem: error.to_string() })?;
        let content = match kind {
            WireType::Varint => Content::Varint(
                decode_varint(&mut rest).map_err(|_| Fault { at, problem: format!("field {number} is cut off") })?,
            ),
            WireType::SixtyFourBit => fixed(&mut rest, 8, at, "64 bits")?,
            WireType::ThirtyTwoBit => fixed(&mut rest, 4, at, "32 bits")?,
            WireType::LengthDelimited => {
                let declared = decode_varint(&mut rest)
                    .map_err(|_| Fault { at, problem: format!("the length of field {number} is cut off") })?;
                let Some(bytes) = usize::try_from(declared).ok().and_then(|length| rest.get(..length)) else {
                    let left = rest.len();
                    return fault(at, format!("field {number} declares {declared} bytes where {left} are left"));
                };
                let start = at + (self.rest.len() - rest.len());
                rest = &rest[bytes.len()..];
                Content::Bytes(bytes, start)
            }
            WireType::StartGroup | WireType::EndGroup => {
                return fault(at, format!("field {number} is a group, which ONNX does not use"));
            }
        };
        self.at += self.rest.len() - rest.len();
        self.rest = rest;
        Ok(Some(Field { number, at, content }))
    }
}

fn fixed<'a>(rest: &mut &'a [u8], length: usize, at: usize, kind: &'static str) -> Read<Content<'a>> {
    let Some(after) = rest.get(length..) else { return fault(at, "a number is cut off") };
    *rest = after;
    Ok(Content::Fixed(kind))
}

impl<'a> Field<'a> {
    /// A whole number.
    pub(super) fn int(&self, name: &str) -> Read<i64> {
        match self.content {
            Content::Varint(value) => Ok(value as i64),
            _ => self.wrong(name, "a whole number"),
        }
    }

    /// The bytes of a string, a tensor or packed numbers.
    pub(super) fn bytes(&self, name: &str) -> Read<&'a [u8]> {
        match self.content {
            Content::Bytes(bytes, _) => Ok(bytes),
            _ => self.wrong(name, "bytes"),
        }
    }

    /// A text.
    pub(super) fn text(&self, name: &str) -> Read<&'a str> {
        std::str::from_utf8(self.bytes(name)?)
            .map_err(|_| Fault { at: self.at, problem: format!("{name} is not UTF-8") })
    }

    /// A message inside of this one.
    pub(super) fn message(&self, name: &str) -> Read<Message<'a>> {
        match self.content {
            Content::Bytes(rest, at) => Ok(Message { rest, at }),
            _ => self.wrong(name, "a message"),
        }
    }

    /// One whole number or several packed ones, added to `to`.
    pub(super) fn ints(&self, name: &str, budget: &Budget, to: &mut Vec<i64>) -> Read<()> {
        if let Content::Varint(value) = self.content {
            to.push(value as i64);
            return Ok(());
        }
        let mut rest = self.bytes(name)?;
        while !rest.is_empty() {
            budget.pay(self.at)?;
            let value = decode_varint(&mut rest)
                .map_err(|_| Fault { at: self.at, problem: format!("{name} is cut off inside a number") })?;
            to.push(value as i64);
        }
        Ok(())
    }

    /// Puts a value into its place, which has to be free.
    pub(super) fn once<T>(&self, name: &str, place: &mut Option<T>, value: T) -> Read<()> {
        if place.replace(value).is_some() {
            return fault(self.at, format!("{name} is given twice"));
        }
        Ok(())
    }

    fn wrong<T>(&self, name: &str, expected: &str) -> Read<T> {
        let received = match self.content {
            Content::Varint(_) => "a whole number",
            Content::Fixed(kind) => kind,
            Content::Bytes(..) => "bytes",
        };
        fault(self.at, format!("{name} holds {received}, expected {expected}"))
    }
}

/// Packed whole numbers in `bytes`: each ends with a byte below 128.
pub(super) fn count_varints(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte < 0x80).count() as u64
}
