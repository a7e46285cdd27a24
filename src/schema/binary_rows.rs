//! Rows as COPY writes them in its binary format, without its header and trailer: for each the number of its fields,
//! and for each field its length, or -1 for null, and its bytes.

use uuid::Uuid;

/// What is before the first row: a signature, flags, and the length of what else could be there.
pub(crate) const HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// What is after the last row.
pub(crate) const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// The whole rows at the beginning of some bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) rows: u64,
    /// Where they end.
    pub(crate) end: usize,
    /// Whether the trailer is next.
    pub(crate) last: bool,
}

/// Bytes that are no rows of so many fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRows;

/// Finds the whole rows; what is behind them is the beginning of another.
pub(crate) fn whole(bytes: &[u8], fields: i16) -> Result<Whole, NoRows> {
    let mut whole = Whole::default();
    while let Some(end) = row_end(bytes, whole.end, fields)? {
        if end == whole.end {
            whole.last = true;
            break;
        }
        whole.end = end;
        whole.rows += 1;
    }
    Ok(whole)
}

/// Puts the id of a client before the other fields of each row. Returns how many rows there were: all bytes are whole
/// rows.
pub(crate) fn with_client(
    bytes: &[u8],
    fields: i16,
    client: Uuid,
    into: &mut Vec<u8>,
) -> Result<u64, NoRows> {
    let mut first = [0; 22];
    first[..2].copy_from_slice(&fields.checked_add(1).ok_or(NoRows)?.to_be_bytes());
    first[2..6].copy_from_slice(&16_i32.to_be_bytes());
    first[6..].copy_from_slice(client.as_bytes());
    let (mut rows, mut at) = (0, 0);
    while at < bytes.len() {
        let end = row_end(bytes, at, fields)?
            .filter(|end| *end > at)
            .ok_or(NoRows)?;
        into.extend_from_slice(&first);
        into.extend_from_slice(&bytes[at + 2..end]);
        at = end;
        rows += 1;
    }
    Ok(rows)
}

/// Counts rows that all bytes are made of.
pub(crate) fn count(bytes: &[u8], fields: i16) -> Result<u64, NoRows> {
    let whole = whole(bytes, fields)?;
    if whole.end == bytes.len() {
        Ok(whole.rows)
    } else {
        Err(NoRows)
    }
}

/// Tells the fields of each row, null or their bytes. All bytes are whole rows.
pub(crate) fn for_each<'a>(
    bytes: &'a [u8],
    fields: i16,
    mut tell: impl FnMut(&[Option<&'a [u8]>]),
) -> Result<(), NoRows> {
    let mut row = Vec::with_capacity(usize::try_from(fields).unwrap_or_default());
    let mut at = 0;
    while at < bytes.len() {
        let end = row_end(bytes, at, fields)?
            .filter(|end| *end > at)
            .ok_or(NoRows)?;
        let mut rest = &bytes[at + 2..end];
        row.clear();
        while let Some((length, behind)) = rest.split_first_chunk() {
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (field, behind) = behind.split_at_checked(length.unwrap_or(0)).ok_or(NoRows)?;
            row.push(length.map(|_| field));
            rest = behind;
        }
        tell(&row);
        at = end;
    }
    Ok(())
}

/// Where the row ends that begins there, if it does; where it begins, if it is the trailer.
fn row_end(bytes: &[u8], start: usize, fields: i16) -> Result<Option<usize>, NoRows> {
    let Some(number) = bytes.get(start..).and_then(<[u8]>::first_chunk) else {
        return Ok(None);
    };
    let number = i16::from_be_bytes(*number);
    if number == -1 {
        return Ok(Some(start));
    }
    if number != fields {
        return Err(NoRows);
    }
    let mut at = start + 2;
    for _ in 0..number {
        let Some(length) = bytes.get(at..).and_then(<[u8]>::first_chunk) else {
            return Ok(None);
        };
        at += 4;
        match i32::from_be_bytes(*length) {
            -1 => {}
            length => at += usize::try_from(length).map_err(|_| NoRows)?,
        }
    }
    Ok((at <= bytes.len()).then_some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of `ab` and null.
    const ROW: [u8; 12] = [0, 2, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255];

    #[test]
    fn whole_rows_are_found_wherever_the_bytes_end() {
        let mut bytes = [ROW, ROW].concat();
        for end in 0..bytes.len() {
            let found = whole(&bytes[..end], 2).unwrap();
            let rows = end / ROW.len();
            assert_eq!((found.rows, found.end), (rows as u64, rows * ROW.len()));
            assert!(!found.last);
        }
        assert_eq!(count(&bytes, 2), Ok(2));
        bytes.extend(TRAILER);
        let found = whole(&bytes, 2).unwrap();
        assert_eq!((found.rows, found.end, found.last), (2, 24, true));
        assert_eq!(count(&bytes, 2), Err(NoRows));
        assert_eq!(whole(&bytes, 3), Err(NoRows));
    }

    #[test]
    fn a_client_is_the_first_field_of_each_row() {
        let client = Uuid::from_bytes([7; 16]);
        let mut into = Vec::new();
        assert_eq!(with_client(&[ROW, ROW].concat(), 2, client, &mut into), Ok(2));
        assert_eq!(into.len(), 2 * (ROW.len() + 20));
        assert_eq!(count(&into, 3), Ok(2));
        assert_eq!(&into[..6], [0, 3, 0, 0, 0, 16]);
        assert_eq!(&into[6..22], client.as_bytes());
        assert_eq!(&into[22..32], &ROW[2..]);
        for bad in [&ROW[..11], &TRAILER, &[0, 2, 255, 255, 255, 254, 0, 0, 0, 0]] {
            assert_eq!(with_client(bad, 2, client, &mut Vec::new()), Err(NoRows));
        }
    }
}
