//! A function's code as Lambda takes it: a zip archive with one executable file, `bootstrap`.
//!
//! Stored, not compressed: a function is some 4 MB, and the upload may have 50.

/// The name that the runtime `provided.al2023` starts.
const NAME: &[u8] = b"bootstrap";
/// A regular file that everyone may execute, as Unix says it, in the upper half.
const MODE: u32 = 0o100_755 << 16;
/// 1980-01-01: the same code is the same archive.
const DATE: u16 = 0x21;
const UNIX: u16 = 3 << 8;
const VERSION: u16 = 20;

/// An archive with this program. `None` where it is too large for one.
pub(crate) fn with_bootstrap(program: &[u8]) -> Option<Vec<u8>> {
    let size = u32::try_from(program.len()).ok()?;
    let name_length = u16::try_from(NAME.len()).ok()?;
    let mut about = Vec::new();
    for number in [VERSION, 0, 0, 0, DATE] {
        about.extend(number.to_le_bytes());
    }
    for number in [crc32fast::hash(program), size, size] {
        about.extend(number.to_le_bytes());
    }
    about.extend(name_length.to_le_bytes());
    about.extend([0, 0]);

    let mut archive = b"PK\x03\x04".to_vec();
    archive.extend(&about);
    archive.extend(NAME);
    archive.extend(program);

    let directory = u32::try_from(archive.len()).ok()?;
    archive.extend(b"PK\x01\x02");
    archive.extend((UNIX | VERSION).to_le_bytes());
    archive.extend(&about);
    // No comment, the first disk, no internal attributes; then the mode, and where the file is.
    archive.extend([0; 6]);
    archive.extend(MODE.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend(NAME);

    let length = u32::try_from(archive.len()).ok()?.checked_sub(directory)?;
    archive.extend(b"PK\x05\x06\x00\x00\x00\x00\x01\x00\x01\x00");
    archive.extend(length.to_le_bytes());
    archive.extend(directory.to_le_bytes());
    archive.extend([0; 2]);
    Some(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_program_is_the_same_archive_and_its_parts_are_where_it_says() {
        let archive = with_bootstrap(b"program").unwrap();
        assert_eq!(archive, with_bootstrap(b"program").unwrap());
        let end = archive.len() - 22;
        let number = |at: usize| u32::from_le_bytes(archive[at..at + 4].try_into().unwrap());
        let (length, directory) = (number(end + 12), number(end + 16));
        assert_eq!(usize::try_from(directory + length).unwrap(), end);
        let directory = usize::try_from(directory).unwrap();
        assert_eq!(&archive[directory..directory + 4], b"PK\x01\x02");
        assert_eq!(number(directory + 38) >> 16, 0o100_755);
    }
}
