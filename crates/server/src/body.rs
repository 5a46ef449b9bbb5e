//! The body of a request on its way in: in time, within the room for all of them together, and read to its end where an answer
//! does not wait for it.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Most bytes of a body that nobody reads any more and that are read and dropped, so that the answer reaches a client that is
/// still sending; and the time for it.
const LEFT_BYTES: usize = 64 << 10;
const LEFT_TIME: Duration = Duration::from_secs(1);
/// Bytes of gRPC before each message: a flag and its length.
const PREFIX_BYTES: usize = 5;

/// A body that can be taken up again by whoever made it, when its reader has left.
#[derive(Clone)]
pub(crate) struct Watched {
    state: Arc<Mutex<State>>,
}

struct State {
    body: Body,
    timeout: (Duration, &'static str),
    sleep: Option<Pin<Box<Sleep>>>,
    room: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
    /// Bytes that are held beside, less than a KiB.
    rest: usize,
    /// Where the messages of gRPC begin and end; a message that is whole is its reader's, and its room free again.
    messages: Option<Messages>,
    /// Since when a message is on its way, and for how long it may be.
    message_since: Option<Instant>,
    message_timeout: Duration,
    ended: bool,
}

/// Why a body cannot be read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("{} for {} s, which is the limit {}", Self::STALLED, .0.as_secs_f64(), .1)]
    Timeout(Duration, &'static str),
    #[error("too many large requests are being sent at once; try again later")]
    NoRoom,
}

impl BodyError {
    /// How the message of a body that stalls begins: gRPC's own layer hands on the words alone.
    pub(crate) const STALLED: &str = "the body did not come on";

    /// The one that a failure of reading comes from.
    pub(crate) fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }
}

impl Watched {
    /// Watches over `body`: some of it has to come within `timeout`, a limit of that name, and what of it is held has to find
    /// place in `room`, in KiB. Of gRPC, a message that has begun has to be whole within the time given.
    pub(crate) fn new(
        body: Body,
        timeout: (Duration, &'static str),
        room: &Arc<Semaphore>,
        grpc_message: Option<Duration>,
    ) -> Self {
        let state = State {
            body,
            timeout,
            sleep: None,
            room: Arc::clone(room),
            held: None,
            rest: 0,
            messages: grpc_message.map(|_| Messages::default()),
            message_since: None,
            message_timeout: grpc_message.unwrap_or(Duration::MAX),
            ended: false,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// As the body of the request.
    pub(crate) fn body(&self) -> Body {
        Body::new(self.clone())
    }

    /// Reads what nobody has read, if it is little and comes soon. Says whether the body has ended.
    pub(crate) async fn drop_rest(&self) -> bool {
        let mut body = self.clone();
        let reading = async {
            let mut left = 0;
            while left <= LEFT_BYTES && !body.is_end_stream() {
                match body.frame().await {
                    None | Some(Err(_)) => return,
                    Some(Ok(frame)) => left += frame.data_ref().map_or(0, Bytes::len),
                }
            }
        };
        let _ = tokio::time::timeout(LEFT_TIME, reading).await;
        self.is_end_stream()
    }
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = &mut *state;
        match Pin::new(&mut state.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                state.sleep = None;
                if let Some(data) = frame.data_ref()
                    && !state.hold(data)
                {
                    return Poll::Ready(Some(Err(Box::new(BodyError::NoRoom))));
                }
                if state.message_since.is_some_and(|since| since.elapsed() > state.message_timeout) {
                    let error = BodyError::Timeout(state.message_timeout, "request-timeout");
                    return Poll::Ready(Some(Err(Box::new(error))));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                state.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let (timeout, limit) = state.timeout;
                let sleep = state.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                match sleep.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(Some(Err(Box::new(BodyError::Timeout(timeout, limit))))),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended || state.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}

impl State {
    /// Finds place for `data`; what is whole by now needs none.
    fn hold(&mut self, data: &Bytes) -> bool {
        let held = match &mut self.messages {
            None => data.len(),
            Some(messages) => {
                let open = messages.read(data);
                if messages.has_ended {
                    self.held = None;
                    self.rest = 0;
                    self.message_since = None;
                }
                if messages.is_open() {
                    self.message_since.get_or_insert_with(Instant::now);
                }
                open.min(data.len())
            }
        };
        // Small requests cost nothing here, and many small pieces as much as a large one.
        let held = self.rest + held;
        self.rest = held % 1024;
        match held / 1024 {
            0 => true,
            kib => match Arc::clone(&self.room).try_acquire_many_owned(kib as u32) {
                Ok(place) => {
                    match &mut self.held {
                        Some(held) => held.merge(place),
                        None => self.held = Some(place),
                    }
                    true
                }
                Err(_) => false,
            },
        }
    }
}

/// Where in a stream of gRPC messages a reader is.
#[derive(Debug, Default)]
struct Messages {
    prefix: Vec<u8>,
    /// Bytes of the message that are still to come.
    missing: usize,
    /// Bytes of it that have come.
    there: usize,
    /// Whether a message has ended in what was read last.
    has_ended: bool,
}

impl Messages {
    /// Whether a message, or the bytes before it, have begun and are not whole.
    fn is_open(&self) -> bool {
        self.missing > 0 || !self.prefix.is_empty()
    }

    /// Follows `data`; returns how many bytes of a message that is not whole yet have come.
    fn read(&mut self, data: &[u8]) -> usize {
        self.has_ended = false;
        let mut rest = data;
        while !rest.is_empty() {
            if self.missing == 0 {
                let taken = rest.len().min(PREFIX_BYTES - self.prefix.len());
                self.prefix.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                if let [_, a, b, c, d] = self.prefix[..] {
                    self.missing = u32::from_be_bytes([a, b, c, d]) as usize;
                    self.there = 0;
                    self.prefix.clear();
                }
                continue;
            }
            let taken = rest.len().min(self.missing);
            self.missing -= taken;
            self.there += taken;
            rest = &rest[taken..];
            if self.missing == 0 {
                self.has_ended = true;
                self.there = 0;
            }
        }
        self.there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(test)
    }

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend((length as u32).to_be_bytes());
        bytes.extend(vec![7; length]);
        bytes
    }

    #[test]
    fn messages_are_followed_through_whatever_pieces_they_come_in() {
        let stream: Vec<u8> = [3000, 0, 5, 2000].into_iter().flat_map(message).collect();
        for size in [1, 2, 7, 1000, 100_000] {
            let mut messages = Messages::default();
            let mut open = 0;
            for piece in stream.chunks(size) {
                open = messages.read(piece);
            }
            assert_eq!((open, messages.missing, messages.prefix.len()), (0, 0, 0), "{size}");
        }
        let mut messages = Messages::default();
        assert_eq!(messages.read(&stream[..1005]), 1000);
        assert!(!messages.has_ended);
        assert_eq!(messages.read(&stream[1005..3005]), 0);
        assert!(messages.has_ended);
    }

    #[test]
    fn bodies_share_a_room_and_messages_that_are_whole_leave_it() {
        run(async {
            let room = Arc::new(Semaphore::new(16));
            let whole =
                Watched::new(Body::from(vec![0; 10 << 10]), (Duration::from_secs(9), "body-timeout"), &room, None);
            let kept = whole.clone();
            assert_eq!(whole.collect().await.unwrap().to_bytes().len(), 10 << 10);
            assert_eq!(room.available_permits(), 6);
            let other =
                Watched::new(Body::from(vec![0; 10 << 10]), (Duration::from_secs(9), "body-timeout"), &room, None);
            let error = other.collect().await.unwrap_err();
            assert_eq!(BodyError::of(error.as_ref()), Some(&BodyError::NoRoom));
            drop(kept);
            assert_eq!(room.available_permits(), 16);
            let stream = Watched::new(
                Body::from([message(9000), message(9000)].concat()),
                (Duration::from_secs(9), "body-timeout"),
                &room,
                Some(Duration::from_secs(9)),
            );
            let kept = stream.clone();
            stream.collect().await.unwrap();
            assert_eq!(room.available_permits(), 16);
            drop(kept);
        });
    }

    #[test]
    fn many_small_pieces_take_as_much_room_as_a_large_one() {
        run(async {
            let room = Arc::new(Semaphore::new(16));
            let pieces = tokio_stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![0; 512]))));
            let timeout = (Duration::from_secs(9), "body-timeout");
            let body = Watched::new(Body::from_stream(pieces), timeout, &room, None);
            let kept = body.clone();
            body.collect().await.unwrap();
            assert_eq!(room.available_permits(), 6);
            drop(kept);
            assert_eq!(room.available_permits(), 16);
        });
    }

    #[test]
    fn what_nobody_reads_is_read_to_its_end_when_it_is_little() {
        run(async {
            let room = Arc::new(Semaphore::new(1 << 20));
            let little = Watched::new(Body::from("abc"), (Duration::from_secs(9), "body-timeout"), &room, None);
            drop(little.body());
            assert!(little.drop_rest().await);
        });
    }
}
