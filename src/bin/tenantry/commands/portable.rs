use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;
use tenantry::{ClientSlug, ExportOptions, NewClient, RestoreInto, RestoreOptions};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, BufWriter, ReadBuf};

use crate::failure::{Failure, Outcome};
use crate::files::create_private;
use crate::installation::{Installation, Named};
use crate::output::Output;
use crate::progress;
use crate::views::RowsView;

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// The client
    client: Named,
    /// The file to write, which must not be there. It holds the rows in clear
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Tables, as schema.name, that are not the client's or can be made anew
    #[arg(long, value_name = "TABLE")]
    leave_out: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Restore {
    /// The file of an export
    file: PathBuf,
    /// Into that client, which has no rows
    #[arg(long, value_name = "CLIENT", required_unless_present = "slug", conflicts_with_all = ["slug", "tier", "name"])]
    into: Option<Named>,
    /// Into a client that is created, with that slug
    #[arg(long, requires = "tier")]
    slug: Option<ClientSlug>,
    /// Of that tier
    #[arg(long)]
    tier: Option<String>,
    /// With that name for people. Without it, its slug
    #[arg(long)]
    name: Option<String>,
    /// Tables, as schema.name, that the file need not have
    #[arg(long, value_name = "TABLE")]
    leave_out: Vec<String>,
}

#[derive(Serialize)]
struct Exported {
    id: String,
    file: PathBuf,
    bytes: u64,
    digest: String,
    tables: Vec<RowsView>,
}

#[derive(Serialize)]
struct Restored {
    id: String,
    exported_from: String,
    taken_at: String,
    tables: Vec<RowsView>,
}

impl Export {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let platform = installation.platform().await?;
        let id = self.client.id(&platform).await?;
        let file = Counted::of(create_private(&self.to).await?, "exported");
        let options = ExportOptions::default().leave_out(self.leave_out.clone());
        let exported = platform.export_client(id, BufWriter::new(file), &options).await;
        platform.close().await;
        let report = match exported {
            Ok(report) => report,
            Err(error) => {
                // It has no end, and nobody can restore it.
                let _ = tokio::fs::remove_file(&self.to).await;
                return Err(error.into());
            }
        };
        let exported = Exported {
            id: id.to_string(),
            file: self.to.clone(),
            bytes: report.bytes,
            digest: report.digest,
            tables: RowsView::all(&report.tables),
        };
        output.show(&exported, |exported| RowsView::list(&exported.tables))?;
        if !output.is_json() {
            let rows = RowsView::sum(&exported.tables);
            let to = self.to.display();
            output.note(&format!(
                "{rows} rows, {} bytes in {to}, in clear; digest {}",
                exported.bytes, exported.digest
            ));
        }
        Ok(Outcome::Done)
    }
}

impl Restore {
    pub(crate) async fn run(&self, installation: &Installation, output: &Output) -> Result<Outcome, Failure> {
        let file = File::open(&self.file)
            .await
            .map_err(|error| Failure::file("opening", &self.file, &error))?;
        let platform = installation.platform().await?;
        let into: RestoreInto = match (&self.into, &self.slug, &self.tier) {
            (Some(client), _, _) => client.id(&platform).await?.into(),
            (None, Some(slug), Some(tier)) => {
                let name = self.name.as_deref().unwrap_or(slug.as_str());
                NewClient::new(name, slug.clone(), tier.as_str()).into()
            }
            _ => {
                return Err(Failure::usage(
                    "say --into a client, or --slug and --tier of a new one",
                ));
            }
        };
        let options = RestoreOptions::default().leave_out(self.leave_out.clone());
        let from = BufReader::new(Counted::of(file, "restored"));
        let restored = platform.restore_client(into, from, &options).await;
        platform.close().await;
        let report = restored?;
        let restored = Restored {
            id: report.client.to_string(),
            exported_from: report.exported_from.to_string(),
            taken_at: report.taken_at,
            tables: RowsView::all(&report.tables),
        };
        output.show(&restored, |restored| RowsView::list(&restored.tables))?;
        if !output.is_json() {
            output.note(&format!(
                "{} rows in client {}, as they were at {}",
                RowsView::sum(&restored.tables),
                restored.id,
                restored.taken_at
            ));
        }
        Ok(Outcome::Done)
    }
}

/// A file whose bytes a bar counts.
struct Counted {
    file: File,
    bar: ProgressBar,
}

impl Counted {
    fn of(file: File, what: &'static str) -> Self {
        Self {
            file,
            bar: progress::bytes(what),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let written = Pin::new(&mut self.file).poll_write(cx, buf);
        if let Poll::Ready(Ok(bytes)) = &written {
            self.bar.inc(*bytes as u64);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.file).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.file).poll_shutdown(cx)
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.file).poll_read(cx, buf);
        self.bar.inc((buf.filled().len() - before) as u64);
        read
    }
}
