//! Which libraries a library needs, by its own file.
//!
//! ONNX Runtime's providers cannot be loaded to find out: what they do on load asks ONNX Runtime's other library for a host
//! that is not there before ONNX Runtime loads them itself, and the process ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Kinds of segments, and of entries of the dynamic one, in the format of System V (ELF).
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
/// More than any library has.
const LARGEST_DYNAMIC: u64 = 1 << 20;
const LONGEST_NAME: u64 = 255;

/// A stretch of the file and where it lies in memory.
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    bytes: u64,
}

/// Names of the libraries that the one at `path` names, in its order.
///
/// # Errors
/// `InvalidData` for what is no library of Linux for 64 bits, or what the system says.
pub(super) fn needed(path: &Path) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let header = read_at(&mut file, 0, 64)?;
    // 64 bits, lowest byte first.
    if header.len() < 64 || !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(invalid("it is no library for this system"));
    }
    let table =
        read_at(&mut file, u64_in(&header, 32), u64::from(u16_in(&header, 54)) * u64::from(u16_in(&header, 56)))?;
    let entry = usize::from(u16_in(&header, 54)).max(56);
    let segments: Vec<Segment> = table
        .chunks_exact(entry)
        .map(|entry| Segment {
            kind: u32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]),
            offset: u64_in(entry, 8),
            address: u64_in(entry, 16),
            bytes: u64_in(entry, 32),
        })
        .collect();
    let dynamic =
        segments.iter().find(|segment| segment.kind == DYNAMIC).ok_or_else(|| invalid("it names no libraries"))?;
    let dynamic = read_at(&mut file, dynamic.offset, dynamic.bytes.min(LARGEST_DYNAMIC))?;
    let entries: Vec<(u64, u64)> = dynamic.chunks_exact(16).map(|entry| (u64_in(entry, 0), u64_in(entry, 8))).collect();
    let strings = entries.iter().find(|(kind, _)| *kind == STRINGS).map(|(_, address)| *address);
    let strings = strings.ok_or_else(|| invalid("it has no names"))?;
    let names = entries.iter().filter(|(kind, _)| *kind == NEEDED);
    names.map(|(_, place)| name_at(&mut file, &segments, strings.saturating_add(*place))).collect()
}

/// The string that lies at `address` in memory.
fn name_at(file: &mut File, segments: &[Segment], address: u64) -> io::Result<String> {
    let inside = |segment: &&Segment| {
        let place = address.checked_sub(segment.address);
        segment.kind == LOAD && place.is_some_and(|place| place < segment.bytes)
    };
    let segment = segments.iter().find(inside).ok_or_else(|| invalid("its names lie outside of it"))?;
    let bytes = read_at(file, segment.offset.saturating_add(address - segment.address), LONGEST_NAME + 1)?;
    let end = bytes.iter().position(|&byte| byte == 0).ok_or_else(|| invalid("a name has no end"))?;
    String::from_utf8(bytes[..end].to_vec()).map_err(|_| invalid("a name is no text"))
}

/// At most `bytes` from `offset` on; fewer where the file ends.
fn read_at(file: &mut File, offset: u64, bytes: u64) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.take(bytes).read_to_end(&mut part)?;
    Ok(part)
}

fn u16_in(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[place], bytes[place + 1]])
}

fn u64_in(bytes: &[u8], place: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[place..place + 8]);
    u64::from_le_bytes(eight)
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(all(test, target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod tests {
    use std::{env, fs};

    use super::*;

    #[test]
    fn a_program_names_its_libraries() {
        let names = needed(&env::current_exe().unwrap()).unwrap();
        assert!(names.iter().any(|name| name.starts_with("libc.so")), "{names:?}");
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("library.so");
        let mut whole = Vec::new();
        File::open(env::current_exe().unwrap()).unwrap().take(1 << 16).read_to_end(&mut whole).unwrap();
        for end in [0, 5, 63, 64, 65, 200, 1000] {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(needed(&path).is_err(), "{end}");
        }
        // Whatever a field of the header says.
        for place in 4..64 {
            let mut damaged = whole.clone();
            damaged[place] = !damaged[place];
            fs::write(&path, damaged).unwrap();
            let _ = needed(&path);
        }
    }
}
