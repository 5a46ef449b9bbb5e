//! Texts by the line, and their answers in the same order: JSON Lines in, any head's results out.
//!
//! Lines are read on a thread of their own, so that the answer to one line is there before the next line is: a program
//! may write a line and wait. What is read ahead, and what is on its way through the model, is bounded.

mod reading;

use std::collections::VecDeque;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use berth_encoder::{Asked, Step};
use crossbeam_channel::{RecvTimeoutError, TryRecvError};
use serde_json::Value;

use self::reading::{Arrived, Lines};
use crate::Error;

/// Time within which a run that waits for a line sees that it was cancelled.
const CANCEL_CHECK: Duration = Duration::from_millis(50);

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
        let mut value: Value = serde_json::from_str(line).map_err(|error| not_json(&error))?;
        let id = id_of(&value).unwrap_or_else(|| Value::from(number));
        let body = match &mut value {
            Value::String(text) => Body::Text(std::mem::take(text)),
            Value::Object(fields) if fields.contains_key("query") => {
                let Value::Array(documents) = value["documents"].take() else {
                    return Err("it has a \"query\" but no list of \"documents\"".to_owned());
                };
                let document = |document: Value| match document {
                    Value::String(text) => Ok((None, text)),
                    mut object => Ok::<_, String>((id_of(&object), take_text(&mut object, "text")?)),
                };
                let documents = documents.into_iter().map(document).collect::<Result<_, _>>()?;
                Body::Query { query: take_text(&mut value, "query")?, documents }
            }
            Value::Object(fields) if fields.contains_key("text_pair") => {
                Body::Pair(take_text(&mut value, "text")?, take_text(&mut value, "text_pair")?)
            }
            Value::Object(_) => Body::Text(take_text(&mut value, "text")?),
            other => return Err(format!("{other} is neither a string nor an object with \"text\"")),
        };
        Ok(Self { number, id, body })
    }
}

/// Takes the string of a key out of an object, so that a long text is not copied.
fn take_text(object: &mut Value, key: &str) -> Result<String, String> {
    match object.get_mut(key).map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(format!("it has no \"{key}\"")),
        Some(other) => Err(format!("\"{key}\" is {other}, not a string")),
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

/// Where inputs come from. Nothing is read before answers are asked for, so that what a model takes can be measured first.
pub struct Inputs(Source);

enum Source {
    Given(Vec<Input>),
    Read { source: Box<dyn Read + Send>, plain: bool },
}

/// How questions ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With the last input.
    AtTheEnd,
    /// When they were cancelled.
    Cancelled,
}

impl Inputs {
    /// Inputs that are all there.
    pub fn given(inputs: Vec<Input>) -> Self {
        Self(Source::Given(inputs))
    }

    /// The lines of `source`; each is JSON, or a text as it stands when `plain`. Empty lines are passed over; one that is
    /// too long is a bad line.
    pub fn read(source: impl Read + Send + 'static, plain: bool) -> Self {
        Self(Source::Read { source: Box::new(source), plain })
    }

    /// Hands each input to `ask`, keeps up to `ahead` questions on their way, and gives their answers to `take` in the
    /// order of the inputs. Ends early once `cancel` is true, at the latest with the part of an answer that is waited for.
    ///
    /// # Errors
    /// The first that `take` returns; what is on its way then is taken back. When the thread that reads cannot be started.
    pub fn answer<'a, T, E: From<Error>>(
        self,
        ahead: usize,
        mut ask: impl FnMut(&Input) -> Result<Asking<'a, T>, Error>,
        mut take: impl FnMut(Answered<T>) -> Result<(), E>,
        cancel: &AtomicBool,
    ) -> Result<Ended, E> {
        let lines = match self.0 {
            Source::Given(inputs) => Lines::given(inputs),
            Source::Read { source, plain } => Lines::read(source, plain)?,
        };
        let mut waiting: VecDeque<Waiting<'a, T>> = VecDeque::new();
        let mut more = true;
        while more || !waiting.is_empty() {
            let next = match waiting.len() {
                _ if !more => Err(TryRecvError::Disconnected),
                0 => match lines.arrived.recv_timeout(CANCEL_CHECK) {
                    Ok(arrived) => Ok(arrived),
                    Err(RecvTimeoutError::Timeout) => Err(TryRecvError::Empty),
                    Err(RecvTimeoutError::Disconnected) => Err(TryRecvError::Disconnected),
                },
                count if count < ahead.max(1) => lines.arrived.try_recv(),
                _ => Err(TryRecvError::Empty),
            };
            if cancel.load(Ordering::Relaxed) {
                return Ok(Ended::Cancelled);
            }
            match next {
                Ok(arrived) => {
                    let asked = arrived.input.as_ref().ok().map(&mut ask);
                    waiting.push_back((arrived, asked));
                    continue;
                }
                Err(TryRecvError::Disconnected) => more = false,
                Err(TryRecvError::Empty) => {}
            }
            let Some((Arrived { input, bytes }, asked)) = waiting.pop_front() else { continue };
            match (input, asked) {
                (Ok(input), Some(asked)) => {
                    let Some(answer) = answer_of(asked, cancel) else { return Ok(Ended::Cancelled) };
                    take(Answered::Input(input, answer))?;
                }
                (Err(bad), _) => take(Answered::BadLine(bad))?,
                _ => {}
            }
            lines.answered(bytes);
        }
        Ok(Ended::AtTheEnd)
    }
}

/// Waits for the answer, part by part; none when it was cancelled before.
fn answer_of<T>(asked: Result<Asking<'_, T>, Error>, cancel: &AtomicBool) -> Option<Result<T, Error>> {
    let mut asking = match asked {
        Ok(asking) => asking,
        Err(error) => return Some(Err(error)),
    };
    while !cancel.load(Ordering::Relaxed) {
        if let Some(answer) = (asking.next)().transpose() {
            return Some(answer);
        }
    }
    None
}

/// A question on its way.
pub struct Asking<'a, T> {
    next: Next<'a, T>,
}

/// Waits for the next part; the answer once all parts were there.
type Next<'a, T> = Box<dyn FnMut() -> Result<Option<T>, Error> + 'a>;

impl<'a, T: 'a> Asking<'a, T> {
    /// A question whose answer is there.
    pub fn answered(answer: T) -> Self {
        let mut answer = Some(answer);
        Self { next: Box::new(move || Ok(answer.take())) }
    }

    /// A question of parts: `next` waits for one of them, and gives the answer once all were there.
    pub fn in_parts(next: impl FnMut() -> Result<Option<T>, Error> + 'a) -> Self {
        Self { next: Box::new(next) }
    }

    /// The same question with something else made of its answer.
    pub fn map<U: 'a>(mut self, make: impl Fn(T) -> U + 'a) -> Asking<'a, U> {
        Asking::in_parts(move || Ok((self.next)()?.map(&make)))
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// Whatever went wrong with a part.
    pub fn wait(mut self) -> Result<T, Error> {
        loop {
            if let Some(answer) = (self.next)()? {
                return Ok(answer);
            }
        }
    }
}

/// A line, and the question that came of it.
type Waiting<'a, T> = (Arrived, Option<Result<Asking<'a, T>, Error>>);

/// A question to a model on its way.
///
/// # Errors
/// Why it could not be asked.
pub fn asking<'a, T: 'a>(asked: Result<Asked<'a, T>, berth_encoder::Error>) -> Result<Asking<'a, T>, Error> {
    let mut asked = Some(asked?);
    let next = move || match asked.take().map(Asked::step).transpose()? {
        Some(Step::Answer(answer)) => Ok(Some(answer)),
        Some(Step::More(more)) => {
            asked = Some(more);
            Ok(None)
        }
        None => Ok(None),
    };
    Ok(Asking::in_parts(next))
}

/// What became of an input.
pub enum Answered<T> {
    /// Its answer, or why there is none.
    Input(Input, Result<T, Error>),
    /// A line that was no input.
    BadLine(BadLine),
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
        refused("{\"text\"", "not JSON at column 7: EOF while parsing an object");
        refused(r#"{"id":1}"#, "no \"text\"");
        refused(r#"{"text":5}"#, "5, not a string");
        refused("[1]", "neither");
        refused(r#"{"query":"a"}"#, "documents");
        refused(r#"{"query":"a","documents":[{"id":1}]}"#, "no \"text\"");
        refused(r#""\ud800""#, "hex escape");
    }

    /// Texts are answered with themselves, in two parts.
    fn echo(input: &Input) -> Result<Asking<'static, String>, Error> {
        let Body::Text(text) = input.body.clone() else { return Err(Error::EmptyQuery) };
        let mut parts = vec![text.clone(), text];
        Ok(Asking::in_parts(move || Ok(parts.pop().filter(|_| parts.is_empty()))))
    }

    fn answers(source: &'static str, ahead: usize) -> Vec<String> {
        let mut answers = Vec::new();
        let take = |answered: Answered<String>| -> Result<(), Error> {
            answers.push(match answered {
                Answered::Input(input, Ok(text)) => format!("{}={text}", input.id),
                Answered::Input(input, Err(_)) => format!("{} failed", input.number),
                Answered::BadLine(bad) => format!("bad {}", bad.number),
            });
            Ok(())
        };
        let inputs = Inputs::read(source.as_bytes(), false);
        assert_eq!(inputs.answer(ahead, echo, take, &AtomicBool::new(false)).unwrap(), Ended::AtTheEnd);
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

    /// Gives out what is sent to it, as it is sent.
    struct Slow(crossbeam_channel::Receiver<Vec<u8>>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let Ok(bytes) = self.0.recv() else { return Ok(0) };
            buffer[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }

    #[test]
    fn an_answer_does_not_wait_for_the_next_line() {
        let (write, source) = crossbeam_channel::bounded(1);
        write.send(b"\"one\"\n".to_vec()).unwrap();
        let mut write = Some(write);
        let take = |_| -> Result<(), Error> {
            // Only now is the source closed: were the answer held back for another line, this would never end.
            write = None;
            Ok(())
        };
        Inputs::read(Slow(source), false).answer(8, echo, take, &AtomicBool::new(false)).unwrap();
        assert!(write.is_none());
    }

    #[test]
    fn a_run_is_cancelled_while_it_waits() {
        let (write, source) = crossbeam_channel::bounded(1);
        write.send(b"\"one\"\n".to_vec()).unwrap();
        let cancel = AtomicBool::new(false);
        let mut taken = 0;
        let take = |_| -> Result<(), Error> {
            // The source stays open, and no further line comes.
            cancel.store(true, Ordering::Relaxed);
            taken += 1;
            Ok(())
        };
        let ended = Inputs::read(Slow(source), false).answer(8, echo, take, &cancel).unwrap();
        assert_eq!((ended, taken), (Ended::Cancelled, 1));
        // Between two parts of an answer.
        cancel.store(false, Ordering::Relaxed);
        let ask = |_: &Input| {
            Ok(Asking::<()>::in_parts(|| {
                cancel.store(true, Ordering::Relaxed);
                Ok(None)
            }))
        };
        let inputs = Inputs::given(vec![Input::argument(1, "a")]);
        let ended = inputs.answer(8, ask, |_| Err(Error::EmptyQuery), &cancel).unwrap();
        assert_eq!(ended, Ended::Cancelled);
        drop(write);
    }
}
