use std::borrow::Cow;

/// The segment of a path after a prefix, as it was sent; `None` where the path is another one.
///
/// What a router behind us may read in another way is refused: segments that lead upwards, that are empty, or that
/// are written in escapes.
pub(super) fn segment_after<'a>(prefix: &[Box<str>], path: &'a str) -> Result<Option<&'a str>, &'static str> {
    if path.is_empty() || path == "*" {
        return Ok(None);
    }
    let rest = path.strip_prefix('/').ok_or("it does not begin with a slash")?;
    if leads_upwards(path) {
        return Err("it has a segment of dots");
    }
    let mut segments = rest.split('/');
    for expected in prefix {
        match segments.next() {
            Some(segment) if *segment == **expected => {}
            Some("") => return nothing_behind(segments.next()),
            Some(segment) if segment.contains('%') && *decoded(segment) == *expected.as_bytes() => {
                return Err("it is written in escapes");
            }
            _ => return Ok(None),
        }
    }
    match segments.next() {
        None => Ok(None),
        Some("") => nothing_behind(segments.next()),
        Some(segment) if segment.contains(['%', '\\']) => Err("it is written in escapes"),
        Some(segment) => Ok(Some(segment)),
    }
}

/// A slash at the end is none too many.
fn nothing_behind(next: Option<&str>) -> Result<Option<&'static str>, &'static str> {
    match next {
        None => Ok(None),
        Some(_) => Err("it has an empty segment"),
    }
}

/// Whether a segment is one or two dots, however it is written: in escapes, in escapes of escapes, between
/// backslashes, with parameters behind it.
fn leads_upwards(path: &str) -> bool {
    let plain = if path.contains(['%', '\\']) {
        let plain = path.to_ascii_lowercase().replace("%25", "%");
        let plain = plain.replace("%2e", ".").replace("%3b", ";");
        Cow::Owned(plain.replace("%2f", "/").replace("%5c", "/").replace('\\', "/"))
    } else {
        Cow::Borrowed(path)
    };
    plain
        .split('/')
        .any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

fn decoded(segment: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let mut byte = [0];
        match behind.split_at_checked(2) {
            Some((digits, behind)) if *first == b'%' && hex::decode_to_slice(digits, &mut byte).is_ok() => {
                bytes.push(byte[0]);
                rest = behind;
            }
            _ => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}
