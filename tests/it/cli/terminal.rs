//! What somebody at a terminal sees, and what a pipe gets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::Stdio;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use secrecy::ExposeSecret as _;
use tenantry::testing::Fixture;

use super::{PLANTED, Tool, program};
use crate::support::HOST;

/// What it writes on a terminal of that many columns, and the code that it exits with.
async fn at_terminal<const N: usize>(
    tool: &Tool,
    columns: u16,
    arguments: [&'static str; N],
    typed: Option<String>,
) -> (String, u32) {
    let environment = tool.environment.clone();
    tokio::task::spawn_blocking(move || {
        let size = PtySize {
            rows: 24,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(program());
        command.env_clear();
        command.env("TERM", "xterm");
        for (name, value) in environment {
            command.env(name, value);
        }
        command.args(arguments);
        let mut child = pair.slave.spawn_command(command).unwrap();
        // Or reading never ends.
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let mut text = Vec::new();
        if let Some(typed) = typed {
            // Typed once the terminal shows nothing of it.
            let mut byte = [0];
            while !text.ends_with(b"): ") {
                assert_eq!(reader.read(&mut byte).unwrap(), 1);
                text.push(byte[0]);
            }
            while u64::from(pair.master.get_termios().unwrap().local_flags.bits()) & ECHO != 0 {
                std::thread::yield_now();
            }
            let mut writer = pair.master.take_writer().unwrap();
            writer.write_all(typed.as_bytes()).unwrap();
            writer.write_all(b"\n").unwrap();
        }
        // A terminal whose other end is closed is an error to some systems.
        let _ = reader.read_to_end(&mut text);
        let code = child.wait().unwrap().exit_code();
        (String::from_utf8_lossy(&text).into_owned(), code)
    })
    .await
    .unwrap()
}

/// The flag of a terminal that shows what is typed.
const ECHO: u64 = 8;

/// How many columns a line takes, without what colours it.
fn columns(line: &str) -> usize {
    let mut count = 0;
    let mut escape = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => escape = true,
            _ if escape => escape = !c.is_ascii_alphabetic(),
            '\r' => {}
            _ => count += 1,
        }
    }
    count
}

#[tokio::test]
async fn no_line_is_wider_than_the_terminal() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    for slug in ["acme", "a-client-with-a-name-that-is-longer-than-most"] {
        fixture.shared_client(slug).await.unwrap();
    }
    let tool = Tool::of(&fixture);
    for width in [48, 100] {
        for arguments in [["client", "list"], ["pool", "list"]] {
            let (text, code) = at_terminal(&tool, width, arguments, None).await;
            assert_eq!(code, 0, "{text}");
            for line in text.lines() {
                assert!(columns(line) <= width.into(), "{width}: {line:?}");
            }
            // Whole, however narrow it is.
            assert!(!text.contains('\t'), "{text}");
        }
    }
    let (narrow, _) = at_terminal(&tool, 48, ["client", "list"], None).await;
    assert!(narrow.contains("slug     acme"), "a block a client: {narrow}");
    let (wide, _) = at_terminal(&tool, 140, ["client", "list"], None).await;
    let line = wide.lines().find(|line| line.contains("acme ")).unwrap();
    assert!(
        line.contains("active") && line.contains("shared"),
        "a line a client: {wide}"
    );
    fixture.close().await;
}

#[tokio::test]
async fn a_secret_is_asked_for_and_not_shown() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture).without("TENANTRY_KEYS");
    let keys = fixture.keyring_text().expose_secret().to_owned();
    let (text, code) = at_terminal(&tool, 100, ["pool", "list"], Some(keys)).await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("the keyring (TENANTRY_KEYS is not set)") && text.contains("pool-1"),
        "{text}"
    );
    assert!(PLANTED.iter().all(|planted| !text.contains(planted)), "{text}");
    fixture.close().await;
}

#[tokio::test]
async fn whoever_has_read_enough_may_go_away() {
    let fixture = Fixture::start(&HOST).await.unwrap();
    let tool = Tool::of(&fixture);
    let mut child = tool
        .command(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = String::new();
    // More follows than a pipe holds, so that it writes to nobody.
    BufReader::with_capacity(16, child.stdout.take().unwrap())
        .read_line(&mut first)
        .unwrap();
    let left = child.wait_with_output().unwrap();
    assert_eq!(
        (left.status.code(), String::from_utf8_lossy(&left.stderr).as_ref()),
        (Some(0), "")
    );
    assert!(first.starts_with("_tenantry()"), "{first}");
    fixture.close().await;
}

#[tokio::test]
async fn every_shell_gets_its_completions() {
    let nobody = Tool {
        environment: Vec::new(),
    };
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = nobody.does(["completions", shell]).await;
        assert!(
            script.contains("relocate") && script.contains("rotate-key"),
            "{shell}"
        );
    }
    let script = nobody.does(["completions", "bash"]).await;
    let mut bash = std::process::Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success());
}

#[tokio::test]
async fn help_says_where_secrets_come_from_and_what_it_exits_with() {
    let nobody = Tool {
        environment: Vec::new(),
    };
    let help = nobody.does(["--help"]).await;
    for told in [
        "TENANTRY_PLATFORM_URL",
        "TENANTRY_KEYS",
        "Exit status",
        "doctor",
        "relocate",
    ] {
        assert!(help.contains(told), "{told}: {help}");
    }
}
