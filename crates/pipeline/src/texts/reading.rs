//! Lines of an input, read on a thread of their own: a bounded number of bytes ahead of their answers, and none of any
//! length.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use berth_types::ByteSize;
use crossbeam_channel::{Receiver, Sender, bounded};

use super::{BadLine, Input};
use crate::Error;

/// Lines that are read before they are asked for.
const LINES_AHEAD: usize = 16;
/// Bytes of lines that are read and not answered yet; a single longer line is let through alone. A text takes some ten
/// times its bytes while it is tokenised and answered.
const BYTES_AHEAD: usize = 4 << 20;
/// Bytes of the longest line that is read: forty long novels. Without an end, a file of no lines would be read whole.
const LARGEST_LINE: usize = 32 << 20;

/// A line as it arrived.
pub(super) struct Arrived {
    pub(super) input: Result<Input, BadLine>,
    /// Given back to the budget once it is answered.
    pub(super) bytes: usize,
}

/// Lines on their way from the thread that reads them, which ends soon after this is dropped.
pub(super) struct Lines {
    pub(super) arrived: Receiver<Arrived>,
    budget: Arc<Budget>,
}

impl Lines {
    /// Inputs that are all there.
    pub(super) fn given(inputs: Vec<Input>) -> Self {
        let (sender, arrived) = bounded(inputs.len().max(1));
        for input in inputs {
            // The channel holds all of them.
            let _ = sender.send(Arrived { input: Ok(input), bytes: 0 });
        }
        Self { arrived, budget: Arc::default() }
    }

    /// Begins to read `source`.
    ///
    /// # Errors
    /// When the thread that reads cannot be started.
    pub(super) fn read(source: Box<dyn Read + Send>, plain: bool) -> Result<Self, Error> {
        let (sender, arrived) = bounded(LINES_AHEAD);
        let budget = Arc::new(Budget::default());
        let reader = Reader { source: BufReader::with_capacity(1 << 16, source), plain, largest: LARGEST_LINE };
        let held = Arc::clone(&budget);
        thread::Builder::new()
            .name("read-lines".to_owned())
            .spawn(move || reader.send_all(&sender, &held))
            .map_err(|_| Error::WorkerLost("starting to read lines"))?;
        Ok(Self { arrived, budget })
    }

    /// Says that a line was answered, and is not held any more.
    pub(super) fn answered(&self, bytes: usize) {
        self.budget.give_back(bytes);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.budget.close();
    }
}

struct Reader<R> {
    source: BufReader<R>,
    plain: bool,
    largest: usize,
}

impl<R: Read> Reader<R> {
    /// Sends each line that is not empty, until there is none or nobody wants them.
    fn send_all(mut self, sender: &Sender<Arrived>, budget: &Budget) {
        for number in 1.. {
            let (bytes, input) = match self.next_line() {
                Ok(None) => break,
                Ok(Some(Line::Whole(line))) => {
                    let bytes = line.len();
                    // Before the line is taken apart, which holds it twice.
                    if !budget.take(bytes) {
                        break;
                    }
                    (bytes, parse_line(number, line, self.plain))
                }
                Ok(Some(Line::TooLong { bytes })) => (0, Some(Err(self.too_long(bytes)))),
                Err(error) => {
                    let reason = format!("cannot be read: {error}");
                    let _ = sender.send(Arrived { input: Err(BadLine { number, reason }), bytes: 0 });
                    break;
                }
            };
            let Some(input) = input else {
                budget.give_back(bytes);
                continue;
            };
            let input = input.map_err(|reason| BadLine { number, reason });
            // Whoever asked has seen enough.
            if sender.send(Arrived { input, bytes }).is_err() {
                break;
            }
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let most = self.largest as u64 + 1;
        self.source.by_ref().take(most).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        if line.len() > self.largest && line.last() != Some(&b'\n') {
            return self.skip(line.len()).map(Some);
        }
        Ok(Some(Line::Whole(line)))
    }

    /// Passes over the rest of a line of which `read` bytes were read.
    fn skip(&mut self, read: usize) -> io::Result<Line> {
        let mut bytes = read;
        loop {
            let rest = self.source.fill_buf()?;
            let end = rest.iter().position(|&byte| byte == b'\n');
            let passed = end.unwrap_or(rest.len());
            let is_last = end.is_some() || rest.is_empty();
            bytes += passed;
            self.source.consume(passed + usize::from(end.is_some()));
            if is_last {
                return Ok(Line::TooLong { bytes });
            }
        }
    }

    fn too_long(&self, bytes: usize) -> String {
        let largest = ByteSize(self.largest as u64);
        format!("a line of {bytes} bytes is longer than the {largest} that one may have; hand its text in in parts")
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong { bytes: usize },
}

fn parse_line(number: usize, line: Vec<u8>, plain: bool) -> Option<Result<Input, String>> {
    let line = match String::from_utf8(line) {
        Ok(line) => line,
        Err(error) => return Some(Err(format!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))),
    };
    let text = line.trim_end_matches(['\n', '\r']);
    let text = if number == 1 { text.trim_start_matches('\u{feff}') } else { text };
    if text.trim().is_empty() {
        return None;
    }
    if plain {
        return Some(Ok(Input::argument(number, text)));
    }
    let looks_like_json = text.trim_start().starts_with(['{', '[', '"']);
    let advice = if looks_like_json { "" } else { "; with --lines each line is a text as it stands" };
    Some(Input::parse(number, text).map_err(|reason| reason + advice))
}

/// Bytes that are held, and whether anybody still waits for lines.
#[derive(Debug, Default)]
struct Budget {
    held: Mutex<Held>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Held {
    bytes: usize,
    closed: bool,
}

impl Budget {
    /// Waits until `bytes` more may be held; false when nobody wants them any more.
    fn take(&self, bytes: usize) -> bool {
        let full = |held: &mut Held| !held.closed && held.bytes > 0 && held.bytes + bytes > BYTES_AHEAD;
        let mut held = self.changed.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        held.bytes += bytes;
        !held.closed
    }

    fn give_back(&self, bytes: usize) {
        let mut held = self.lock();
        held.bytes = held.bytes.saturating_sub(bytes);
        self.changed.notify_one();
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Two numbers cannot be left half changed by a thread that panicked.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn check(source: &str, expected: &[Result<&str, (usize, &str)>]) {
        let (sender, arrived) = bounded(16);
        let reader = Reader { source: BufReader::with_capacity(3, source.as_bytes()), plain: true, largest: 8 };
        reader.send_all(&sender, &Budget::default());
        drop(sender);
        let received: Vec<Arrived> = arrived.iter().collect();
        assert_eq!(received.len(), expected.len());
        for (received, expected) in received.into_iter().zip(expected) {
            match (received.input, expected) {
                (Ok(input), Ok(text)) => assert_eq!(input, Input::argument(input.number, text)),
                (Err(bad), Err((number, part))) => {
                    assert!(bad.number == *number && bad.reason.contains(part), "{bad:?}");
                }
                (received, expected) => panic!("{received:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        check("12345678\n123456789\n\nb", &[Ok("12345678"), Err((2, "line of 9 bytes")), Ok("b")]);
        check("12345678", &[Ok("12345678")]);
        check("1234567890123456789", &[Err((1, "19 bytes"))]);
        check("", &[]);
    }

    #[test]
    fn a_text_where_json_is_expected_gets_advice() {
        let reason = |line: &str| parse_line(2, line.into(), false).unwrap().unwrap_err();
        assert!(reason("a plain text").contains("--lines"));
        assert!(!reason("{\"text\"").contains("--lines"));
    }

    #[test]
    fn bytes_ahead_are_bounded() {
        let line = format!("{}\n", "x".repeat(BYTES_AHEAD / 3));
        let source: &'static str = Box::leak(line.repeat(8).into_boxed_str());
        let lines = Lines::read(Box::new(source.as_bytes()), true).unwrap();
        let next = || lines.arrived.recv_timeout(Duration::from_secs(20)).map(|arrived| arrived.bytes);
        let held: Vec<usize> = (0..2).map(|_| next().unwrap()).collect();
        assert_eq!(held, [line.len(); 2]);
        assert!(lines.arrived.recv_timeout(Duration::from_millis(100)).is_err(), "a third line is over the budget");
        lines.answered(line.len());
        assert_eq!(next().unwrap(), line.len());
    }

    #[test]
    fn a_line_over_the_budget_comes_alone() {
        let budget = Budget::default();
        assert!(budget.take(2 * BYTES_AHEAD));
        budget.close();
        assert!(!budget.take(1), "nobody waits for it");
    }
}
