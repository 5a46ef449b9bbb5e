//! Texts by the line, and their answers in the same order: JSON Lines in, any head's results out.
//!
//! Lines are read on a thread of their own, so that the answer to one line is there before the next line is: a program
//! may write a line and wait. What is read ahead, and what is on its way through the model, is bounded.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::thread;

use berth_encoder::Asked;
use crossbeam_channel::{Receiver, TryRecvError, bounded};
use serde_json::Value;

use crate::Error;

/// Lines that are read before they are asked for.
const LINES_AHEAD: usize = 16;

/// One thing to ask about.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// Number of its line, or of the argument, from 1.
    pub number: usize,
    /// What it is called: its `id` or `_id`, else its number.
    pub id: Value,
    /// What it is.
    pub body: Body,
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// One text.
    Text(String),
    /// Two texts that belong together.
    Pair(String, String),
    /// A query with the passages that may answer it.
    Query {
        /// The query.
        query: String,
        /// The passages, each with its id where it has one.
        documents: Vec<(Option<Value>, String)>,
    },
}

impl Input {
    /// An argument of the command line.
    pub fn argument(number: usize, text: &str) -> Self {
        Self { number, id: Value::from(number), body: Body::Text(text.to_owned()) }
    }

    /// Reads a line: a JSON string, `{"text"}`, `{"text","text_pair"}` or `{"query","documents"}`, objects with an `id`
    /// or `_id` where they have one.
    ///
    /// # Errors
    /// What is wrong with the line, in words.
    pub fn parse(number: usize, line: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| not_json(&error))?;
        let text = |value: &Value, key: &str| match &value[key] {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Err(format!("it has no \"{key}\"")),
            other => Err(format!("\"{key}\" is {other}, not a string")),
        };
        let body = match &value {
            Value::String(text) => Body::Text(text.clone()),
            Value::Object(fields) if fields.contains_key("query") => {
                let Some(documents) = value["documents"].as_array() else {
                    return Err("it has a \"query\" but no list of \"documents\"".to_owned());
                };
                let document = |document: &Value| match document {
                    Value::String(text) => Ok((None, text.clone())),
                    object => Ok::<_, String>((id_of(object), text(object, "text")?)),
                };
                let documents = documents.iter().map(document).collect::<Result<_, _>>()?;
                Body::Query { query: text(&value, "query")?, documents }
            }
            Value::Object(fields) if fields.contains_key("text_pair") => {
                Body::Pair(text(&value, "text")?, text(&value, "text_pair")?)
            }
            Value::Object(_) => Body::Text(text(&value, "text")?),
            other => return Err(format!("{other} is neither a string nor an object with \"text\"")),
        };
        Ok(Self { number, id: id_of(&value).unwrap_or_else(|| Value::from(number)), body })
    }
}

/// What serde_json says, without its count of lines: it was given one.
fn not_json(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let reason = message.split(" at line ").next().unwrap_or_default();
    format!("not JSON at column {}: {reason}", error.column())
}

fn id_of(value: &Value) -> Option<Value> {
    let id = [value.get("id"), value.get("_id")].into_iter().flatten().next()?;
    (id.is_string() || id.is_number()).then(|| id.clone())
}

/// A line that is no input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub number: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Inputs as they arrive.
pub struct Inputs {
    lines: Receiver<Result<Input, BadLine>>,
}

impl Inputs {
    /// Inputs that are all there.
    pub fn given(inputs: Vec<Input>) -> Self {
        let (sender, lines) = bounded(inputs.len().max(1));
        for input in inputs {
            // The channel holds all of them.
            let _ = sender.send(Ok(input));
        }
        Self { lines }
    }

    /// Reads `source` line by line; each is JSON, or a text as it stands when `plain`. Empty lines are passed over.
    ///
    /// # Errors
    /// When the thread that reads cannot be started.
    pub fn read(source: impl Read + Send + 'static, plain: bool) -> Result<Self, Error> {
        let (sender, lines) = bounded(LINES_AHEAD);
        let read = move || {
            let mut reader = BufReader::with_capacity(1 << 16, source);
            let mut line = Vec::new();
            for number in 1.. {
                line.clear();
                let parsed = match reader.read_until(b'\n', &mut line) {
                    Ok(0) => break,
                    Ok(_) => parse_line(number, &line, plain),
                    Err(error) => Some(Err(format!("cannot be read: {error}"))),
                };
                let failed = matches!(&parsed, Some(Err(reason)) if reason.starts_with("cannot be read"));
                let Some(parsed) = parsed else { continue };
                let message = parsed.map_err(|reason| BadLine { number, reason });
                // Whoever asked has seen enough, or there is no more to read.
                if sender.send(message).is_err() || failed {
                    break;
                }
            }
        };
        thread::Builder::new()
            .name("read-lines".to_owned())
            .spawn(read)
            .map_err(|_| Error::WorkerLost("starting to read lines"))?;
        Ok(Self { lines })
    }

    /// Hands each input to `ask`, keeps up to `ahead` questions on their way, and gives their answers to `take` in the
    /// order of the inputs.
    ///
    /// # Errors
    /// The first that `take` returns; what is on its way then is taken back.
    pub fn answer<T, E>(
        &self,
        ahead: usize,
        mut ask: impl FnMut(&Input) -> Result<Asking<T>, Error>,
        mut take: impl FnMut(Answered<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut waiting: VecDeque<Waiting<T>> = VecDeque::new();
        let mut more = true;
        while more || !waiting.is_empty() {
            let next = match waiting.len() {
                _ if !more => Err(TryRecvError::Disconnected),
                0 => self.lines.recv().map_err(|_| TryRecvError::Disconnected),
                count if count < ahead.max(1) => self.lines.try_recv(),
                _ => Err(TryRecvError::Empty),
            };
            match next {
                Ok(input) => {
                    let asked = input.as_ref().ok().map(&mut ask);
                    waiting.push_back((input, asked));
                    continue;
                }
                Err(TryRecvError::Disconnected) => more = false,
                Err(TryRecvError::Empty) => {}
            }
            match waiting.pop_front() {
                Some((Ok(input), Some(asked))) => {
                    take(Answered::Input(input, asked.and_then(|asking| asking())))?;
                }
                Some((Err(bad), _)) => take(Answered::BadLine(bad))?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A question on its way; calling it waits for the answer.
pub type Asking<T> = Box<dyn FnOnce() -> Result<T, Error>>;

/// A line, and the question that came of it.
type Waiting<T> = (Result<Input, BadLine>, Option<Result<Asking<T>, Error>>);

/// A question of one part on its way.
///
/// # Errors
/// Why it could not be asked.
pub fn asking<T: 'static>(asked: Result<Asked<T>, berth_encoder::Error>) -> Result<Asking<T>, Error> {
    let asked = asked?;
    Ok(Box::new(move || Ok(asked.wait()?)))
}

/// What became of an input.
pub enum Answered<T> {
    /// Its answer, or why there is none.
    Input(Input, Result<T, Error>),
    /// A line that was no input.
    BadLine(BadLine),
}

fn parse_line(number: usize, line: &[u8], plain: bool) -> Option<Result<Input, String>> {
    let line = match std::str::from_utf8(line) {
        Ok(line) => line.trim_end_matches(['\n', '\r']),
        Err(error) => return Some(Err(format!("not UTF-8 at byte {}", error.valid_up_to()))),
    };
    let line = if number == 1 { line.trim_start_matches('\u{feff}') } else { line };
    if line.trim().is_empty() {
        return None;
    }
    Some(if plain { Ok(Input::argument(number, line)) } else { Input::parse(number, line) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, id: Value, body: Body) {
        assert_eq!(Input::parse(7, line), Ok(Input { number: 7, id, body }));
    }

    #[test]
    fn reads_every_kind_of_line() {
        check("\"a text\"", 7.into(), Body::Text("a text".into()));
        check(r#"{"id":"x","text":"a"}"#, "x".into(), Body::Text("a".into()));
        check(r#"{"_id":3,"text":""}"#, 3.into(), Body::Text(String::new()));
        check(r#"{"text":"a","text_pair":"b"}"#, 7.into(), Body::Pair("a".into(), "b".into()));
        let documents = vec![(None, "b".into()), (Some("d2".into()), "c".into())];
        check(
            r#"{"query":"a","documents":["b",{"id":"d2","text":"c"}]}"#,
            7.into(),
            Body::Query { query: "a".into(), documents },
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        let refused = |line: &str, part: &str| {
            let reason = Input::parse(1, line).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        };
        refused("not json", "not JSON");
        refused(r#"{"id":1}"#, "no \"text\"");
        refused(r#"{"text":5}"#, "5, not a string");
        refused("[1]", "neither");
        refused(r#"{"query":"a"}"#, "documents");
        refused(r#"{"query":"a","documents":[{"id":1}]}"#, "no \"text\"");
        refused(r#""\ud800""#, "hex escape");
    }

    fn answers(source: &'static str, ahead: usize) -> Vec<String> {
        let mut answers = Vec::new();
        let ask = |input: &Input| -> Result<Asking<String>, Error> {
            let Body::Text(text) = input.body.clone() else { return Err(Error::EmptyQuery) };
            Ok(Box::new(move || Ok(text)))
        };
        let take = |answered: Answered<String>| -> Result<(), ()> {
            answers.push(match answered {
                Answered::Input(input, Ok(text)) => format!("{}={text}", input.id),
                Answered::Input(input, Err(_)) => format!("{} failed", input.number),
                Answered::BadLine(bad) => format!("bad {}", bad.number),
            });
            Ok(())
        };
        Inputs::read(source.as_bytes(), false).unwrap().answer(ahead, ask, take).unwrap();
        answers
    }

    #[test]
    fn answers_keep_the_order_and_bad_lines_their_numbers() {
        let source = "\u{feff}\"a\"\r\n\n{bad\n{\"text\":\"b\",\"text_pair\":\"c\"}\n\"d\"";
        for ahead in [1, 2, 50] {
            assert_eq!(answers(source, ahead), ["1=a", "bad 3", "4 failed", "5=d"]);
        }
        assert!(answers("", 4).is_empty());
    }

    #[test]
    fn an_answer_does_not_wait_for_the_next_line() {
        struct Slow(Receiver<Vec<u8>>);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                let Ok(bytes) = self.0.recv() else { return Ok(0) };
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
        }
        let (write, source) = bounded(1);
        write.send(b"\"one\"\n".to_vec()).unwrap();
        let mut write = Some(write);
        let ask = |_: &Input| -> Result<Asking<()>, Error> { Ok(Box::new(|| Ok(()))) };
        let take = |_| -> Result<(), ()> {
            // Only now is the source closed: were the answer held back for another line, this would never end.
            write = None;
            Ok(())
        };
        Inputs::read(Slow(source), false).unwrap().answer(8, ask, take).unwrap();
        assert!(write.is_none());
    }
}
