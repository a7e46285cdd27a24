//! The file of one client.
//!
//! `TENANTRY CLIENT` and a line feed, the version as two bytes, and then sections: its kind (one byte), the number of
//! its table (four), the length of its content (four), its content, and the SHA-256 of everything in the file before
//! this digest but for the digests. Numbers have their highest byte first. A digest covers all before it, so that a
//! section can be trusted, and used, as soon as it was read: whatever was changed, left out or put elsewhere is found
//! at the end of the section where it was, and a file that was cut short has no [`Section::End`].

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::client::ClientId;
use crate::error::{Error, PortableError, Result};

const MAGIC: &[u8; 16] = b"TENANTRY CLIENT\n";

const VERSION: u16 = 1;

/// No row of PostgreSQL is longer than a gibibyte.
const LONGEST: u32 = 1_200_000_000;

const DIGEST: usize = 32;

/// What a section has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// What the file is of, as JSON: the first section.
    Heading,
    /// Rows of a table.
    Rows,
    /// How many rows the table had, as JSON: there are no more.
    TableEnd,
    /// How many rows all tables had, as JSON: the last section.
    End,
}

impl Section {
    const ALL: [Self; 4] = [Self::Heading, Self::Rows, Self::TableEnd, Self::End];

    const fn code(self) -> u8 {
        match self {
            Self::Heading => b'H',
            Self::Rows => b'R',
            Self::TableEnd => b'T',
            Self::End => b'E',
        }
    }
}

/// Writes sections.
#[derive(Debug)]
pub(super) struct FileWriter<W> {
    to: W,
    digest: Sha256,
    client: ClientId,
    pub(super) bytes: u64,
}

impl<W: AsyncWrite + Unpin + Send> FileWriter<W> {
    pub(super) async fn begin(to: W, client: ClientId) -> Result<Self> {
        let mut writer = Self {
            to,
            digest: Sha256::new(),
            client,
            bytes: 0,
        };
        writer.put(MAGIC).await?;
        writer.put(&VERSION.to_be_bytes()).await?;
        Ok(writer)
    }

    /// Writes a section. Returns the digest of all that was written.
    pub(super) async fn section(
        &mut self,
        kind: Section,
        table: u32,
        content: &[u8],
    ) -> Result<[u8; DIGEST]> {
        let length = u32::try_from(content.len())
            .ok()
            .filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| {
            let source = io::Error::other("a section is longer than the format allows");
            self.failed(source)
        })?;
        let mut head = [kind.code(), 0, 0, 0, 0, 0, 0, 0, 0];
        head[1..5].copy_from_slice(&table.to_be_bytes());
        head[5..].copy_from_slice(&length.to_be_bytes());
        self.put(&head).await?;
        self.put(content).await?;
        let digest: [u8; DIGEST] = self.digest.clone().finalize().into();
        self.bytes += digest.len() as u64;
        self.to
            .write_all(&digest)
            .await
            .map_err(|source| self.failed(source))?;
        Ok(digest)
    }

    pub(super) async fn json<T: Serialize + Sync>(
        &mut self,
        kind: Section,
        table: u32,
        content: &T,
    ) -> Result<[u8; DIGEST]> {
        let content = serde_json::to_vec(content).map_err(|source| self.failed(source.into()))?;
        self.section(kind, table, &content).await
    }

    pub(super) async fn flush(&mut self) -> Result<()> {
        self.to.flush().await.map_err(|source| self.failed(source))
    }

    async fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to
            .write_all(bytes)
            .await
            .map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> Error {
        file_failed(self.client, "writing", source)
    }
}

/// Reads sections, each checked before it is handed out.
#[derive(Debug)]
pub(super) struct FileReader<R> {
    from: R,
    digest: Sha256,
    client: ClientId,
    pub(super) content: Vec<u8>,
}

impl<R: AsyncRead + Unpin + Send> FileReader<R> {
    pub(super) async fn begin(from: R, client: ClientId) -> Result<Self> {
        let mut reader = Self {
            from,
            digest: Sha256::new(),
            client,
            content: Vec::new(),
        };
        if reader.take::<{ MAGIC.len() }>().await? != *MAGIC {
            return Err(reader.damaged("it does not begin as one"));
        }
        let version = u16::from_be_bytes(reader.take().await?);
        if version != VERSION {
            return Err(Error::Portable {
                client,
                source: PortableError::UnknownVersion { version },
            });
        }
        Ok(reader)
    }

    /// Reads the next section into [`content`](Self::content). Returns its kind and table.
    pub(super) async fn section(&mut self) -> Result<(Section, u32)> {
        let head: [u8; 9] = self.take().await?;
        let [kind, table @ .., a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        if length > LONGEST {
            return Err(self.damaged("a section is longer than any can be"));
        }
        self.content.clear();
        // Grows with what is there, whatever the length says.
        let read = (&mut self.from)
            .take(length.into())
            .read_to_end(&mut self.content)
            .await;
        read.map_err(|source| file_failed(self.client, "reading", source))?;
        self.digest.update(&self.content);
        let digest: [u8; DIGEST] = self.digest.clone().finalize().into();
        let mut stored = [0; DIGEST];
        self.read(&mut stored).await?;
        if stored != digest {
            return Err(self.damaged("the digest of a section is wrong"));
        }
        let kind = Section::ALL.into_iter().find(|known| known.code() == kind);
        let kind = kind.ok_or_else(|| self.damaged("it has a section of an unknown kind"))?;
        Ok((kind, u32::from_be_bytes(table)))
    }

    /// The content as what was written as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.content).map_err(|_| self.damaged("a section cannot be read"))
    }

    pub(super) fn damaged(&self, reason: &'static str) -> Error {
        Error::Portable {
            client: self.client,
            source: PortableError::Damaged { reason },
        }
    }

    async fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(&mut bytes).await?;
        self.digest.update(bytes);
        Ok(bytes)
    }

    async fn read(&mut self, bytes: &mut [u8]) -> Result<()> {
        match self.from.read_exact(bytes).await {
            Ok(_) => Ok(()),
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it ends too early"))
            }
            Err(source) => Err(file_failed(self.client, "reading", source)),
        }
    }
}

fn file_failed(client: ClientId, step: &'static str, source: io::Error) -> Error {
    Error::Portable {
        client,
        source: PortableError::File {
            step,
            source: source.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> Result<Vec<(Section, u32, Vec<u8>)>> {
        let mut reader = FileReader::begin(bytes, ClientId::new()).await?;
        let mut sections = Vec::new();
        loop {
            let (kind, table) = reader.section().await?;
            sections.push((kind, table, reader.content.clone()));
            if kind == Section::End {
                return Ok(sections);
            }
        }
    }

    #[tokio::test]
    async fn what_is_cut_short_changed_left_out_or_put_elsewhere_is_found() {
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        let mut writer = FileWriter::begin(&mut bytes, ClientId::new()).await.unwrap();
        for (kind, content) in [
            (Section::Heading, "{}"),
            (Section::Rows, "one"),
            (Section::Rows, "two"),
            (Section::End, ""),
        ] {
            writer.section(kind, 7, content.as_bytes()).await.unwrap();
            ends.push(usize::try_from(writer.bytes).unwrap());
        }
        let sections = read(&bytes).await.unwrap();
        assert_eq!(sections.len(), 4);
        assert_eq!(sections[2], (Section::Rows, 7, b"two".to_vec()));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).await.is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let error = read(&flipped).await.unwrap_err();
                assert!(
                    matches!(
                        &error,
                        Error::Portable {
                            source: PortableError::Damaged { .. } | PortableError::UnknownVersion { .. },
                            ..
                        }
                    ),
                    "{at}: {error:?}"
                );
            }
        }
        let left_out = [&bytes[..ends[0]], &bytes[ends[1]..]].concat();
        let swapped = [
            &bytes[..ends[0]],
            &bytes[ends[1]..ends[2]],
            &bytes[ends[0]..ends[1]],
            &bytes[ends[2]..],
        ]
        .concat();
        let twice = [&bytes[..ends[1]], &bytes[ends[0]..]].concat();
        for bad in [left_out, swapped, twice] {
            assert!(read(&bad).await.is_err());
        }
    }
}
