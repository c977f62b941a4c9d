use super::{key::KeyError, *};

fn anchor() -> Anchor {
    let head = |position: i64, recorded_at: &str| AnchoredHead {
        position: Position::new(position).unwrap(),
        hash: [7; 32],
        recorded_at: recorded_at.to_owned(),
    };
    Anchor {
        first_log_id: LogId(Uuid::from_u128(1)),
        incarnation: 2,
        log_id: LogId(Uuid::from_u128(2)),
        heads: vec![
            head(1234, &time(Timestamp::from_micros(1_700_000_000_000_001).unwrap())),
            head(0, "-"),
        ],
    }
}

fn key() -> SigningKey {
    let folder = tempfile::tempdir().unwrap();
    SigningKey::create(&folder.path().join("key")).unwrap()
}

#[test]
fn what_is_written_is_read_back() {
    let key = key();
    let text = anchor().sign(&key);
    assert_eq!(Anchor::read(&text, Some(&key.public())).unwrap(), (anchor(), key.public()));
    assert_eq!(Anchor::read(&text, None).unwrap(), (anchor(), key.public()));
    let mailed = format!("{text}\n \n");
    assert!(Anchor::read(&mailed, None).is_ok(), "blanks at the end are nobody's words");
}

#[test]
fn the_form_of_anchors_that_are_kept_never_changes() {
    let text = anchor().text(&PublicKey::from_hex(&"09".repeat(32)).unwrap());
    let hash = "07".repeat(32);
    let expected = format!(
        "counterfoil-anchor 1\nlog 00000000-0000-0000-0000-000000000001\n\
         incarnation 2 00000000-0000-0000-0000-000000000002\n\
         shard 0 1234 {hash} 2023-11-14T22:13:20.000001Z\nshard 1 0 {hash} -\nkey {}\n",
        "09".repeat(32)
    );
    assert_eq!(text, expected);
}

#[test]
fn every_change_of_a_letter_is_refused() {
    let key = key();
    let text = anchor().sign(&key);
    for at in 0..text.len() - 1 {
        for letter in ['0', 'f', ' ', '\n'] {
            let edited = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            if edited == text {
                continue;
            }
            let read = Anchor::read(&edited, Some(&key.public()));
            assert!(read.is_err(), "letter {at}: {edited}");
        }
    }
}

#[test]
fn another_key_is_refused_and_so_is_one_that_did_not_sign() {
    let (key, other) = (key(), self::key());
    let text = anchor().sign(&other);
    let refused = Anchor::read(&text, Some(&key.public()));
    assert!(matches!(refused, Err(AnchorError::OtherKey { .. })), "{refused:?}");
    let dressed_up = text.replace(&other.public().to_string(), &key.public().to_string());
    for known in [None, Some(&key.public())] {
        let refused = Anchor::read(&dressed_up, known);
        assert!(matches!(refused, Err(AnchorError::Forged)), "{refused:?}");
    }
}

#[test]
fn lines_that_are_added_left_out_or_moved_are_refused() {
    let key = key();
    let text = anchor().sign(&key);
    let lines: Vec<&str> = text.lines().collect();
    let joined = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    assert!(Anchor::read(&joined(&lines), None).is_ok());
    for at in 0..lines.len() {
        let mut without = lines.clone();
        without.remove(at);
        assert!(Anchor::read(&joined(&without), None).is_err(), "without line {at}");
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert!(Anchor::read(&joined(&twice), None).is_err(), "line {at} twice");
    }
    for at in 1..lines.len() {
        let mut swapped = lines.clone();
        swapped.swap(at - 1, at);
        assert!(Anchor::read(&joined(&swapped), None).is_err(), "lines around {at} swapped");
    }
}

#[test]
fn keys_are_kept_in_files_that_only_their_owner_reads_and_are_not_written_over() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = (folder.path().join("key"), folder.path().join("key.pub"));
    let key = SigningKey::create(&private).unwrap();
    let mode = std::fs::metadata(&private).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(SigningKey::read(&private).unwrap().public(), key.public());
    std::fs::write(&public, key.public().pem()).unwrap();
    assert_eq!(PublicKey::read(&public).unwrap(), key.public());
    assert!(matches!(SigningKey::create(&private), Err(KeyError::IsThere(_))));
    assert_eq!(SigningKey::read(&private).unwrap().public(), key.public());
    assert!(matches!(SigningKey::read(&public), Err(KeyError::NotAKey { .. })));
    assert!(matches!(PublicKey::read(&private), Err(KeyError::NotAKey { .. })));
}

/// The example keys of RFC 8410, which `openssl` made.
#[test]
fn keys_that_openssl_made_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = (folder.path().join("key"), folder.path().join("key.pub"));
    let body = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    let label = "PRIVATE KEY";
    std::fs::write(&private, format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n"))
        .unwrap();
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    std::fs::write(&public, pem).unwrap();
    let key = SigningKey::read(&private).unwrap();
    assert_eq!(key.public(), PublicKey::read(&public).unwrap());
    assert_eq!(key.public().pem(), pem);
}
