//! The redactor against its reference, in every cut; the known formats; and what must stay.

use crate::{Found, Redactor, Secrets, reference};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;

fn secrets(values: &[&[u8]]) -> Secrets {
    Secrets::new(values.iter().enumerate().map(|(n, value)| (n.to_string(), value)))
}

/// What comes out when the text comes in such pieces.
fn redacted(secrets: &Secrets, formats: bool, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut redactor, mut out) = (Redactor::new(secrets, formats), Vec::new());
    let (mut other, mut room, mut passed) = (Redactor::new(secrets, formats), Vec::new(), Vec::new());
    for piece in pieces {
        redactor.push(piece, &mut out);
        passed.extend_from_slice(other.pass(piece, &mut room));
        assert_eq!(show(&passed), show(&out), "by either way");
    }
    redactor.finish(&mut out);
    out
}

fn every_cut(secrets: &Secrets, formats: bool, text: &[u8]) -> Vec<u8> {
    let whole = redacted(secrets, formats, &[text]);
    for at in 0..=text.len() {
        let halves = redacted(secrets, formats, &[&text[..at], &text[at..]]);
        assert_eq!(show(&halves), show(&whole), "cut at {at} of {:?}", show(text));
    }
    for size in [1, 2, 3, 7] {
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        assert_eq!(show(&redacted(secrets, formats, &pieces)), show(&whole), "pieces of {size}");
    }
    whole
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wrapped(text: &str, columns: usize, end: &str) -> String {
    let lines: Vec<&str> = text.as_bytes().chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
    lines.join(end)
}

const TOKEN: &[u8] = b"s3cr3t/T0ken+with=signs&more";

/// The token as tools write it, whatever stands around it.
fn disguises() -> Vec<String> {
    let token = show(TOKEN);
    let mut forms = vec![
        token.clone(),
        "s3cr3t%2FT0ken%2Bwith%3Dsigns%26more".into(),
        "s3cr3t%2fT0ken%2bwith%3dsigns%26more".into(),
        "s3cr3t/T0ken%2Bwith%3Dsigns%26more".into(),
        TOKEN.iter().map(|byte| format!("{byte:02x}")).collect(),
        TOKEN.iter().map(|byte| format!("{byte:02X}")).collect(),
        TOKEN.iter().map(|byte| format!("%{byte:02X}")).collect(),
    ];
    for before in ["", "x", "xy", "user:", "{\"password\":\""] {
        for after in ["", "y", "yz", "\"}\n"] {
            let plain = format!("{before}{token}{after}");
            forms.push(STANDARD.encode(&plain));
            forms.push(URL_SAFE_NO_PAD.encode(&plain));
        }
    }
    forms
}

/// Runs of bytes that would give a part of the token away.
fn telling() -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = vec![TOKEN.to_vec()];
    for form in disguises() {
        // All but the ends, which other bytes decide too.
        let inner = form.as_bytes().get(20..form.len().saturating_sub(14)).unwrap_or_default();
        parts.extend(inner.windows(8).map(<[u8]>::to_vec));
    }
    parts
}

#[test]
fn a_secret_is_found_in_every_form_and_every_cut() {
    let known = secrets(&[TOKEN]);
    for form in disguises() {
        let text = format!("before {form} after\n");
        let out = show(&every_cut(&known, true, text.as_bytes()));
        assert!(out.contains("[secret 0]"), "{form}: {out}");
        assert!(out.starts_with("before ") && out.ends_with(" after\n"), "{form}: {out}");
        for part in form.as_bytes().windows(12).skip(22).take(8) {
            assert!(!out.as_bytes().windows(12).any(|w| w == part), "{}: {out}", show(part));
        }
    }
}

#[test]
fn encoders_break_lines_where_they_like() {
    let known = secrets(&[TOKEN]);
    for filler in 0..80 {
        let plain = format!("{}{}{}", "x".repeat(filler), show(TOKEN), "y".repeat(30));
        for (columns, end) in [(76, "\n"), (64, "\r\n"), (60, "\n    "), (20, "\n")] {
            for text in [STANDARD.encode(&plain), plain.bytes().map(|byte| format!("{byte:02x}")).collect()] {
                let text = wrapped(&text, columns, end);
                let out = show(&redacted(&known, false, &[text.as_bytes()]));
                assert!(out.contains("[secret 0]"), "{filler} {columns}: {out}");
                let flat: String = out.chars().filter(|c| !c.is_whitespace()).collect();
                for part in telling() {
                    assert!(!flat.contains(&show(&part)), "{filler} {columns} {}: {out}", show(&part));
                }
            }
        }
    }
}

#[test]
fn what_holds_no_secret_is_not_copied() {
    let (mut redactor, mut room) = (Redactor::new(&secrets(&[TOKEN]), true), Vec::new());
    let plain = b"a line, and another one\n";
    assert!(std::ptr::eq(redactor.pass(plain, &mut room), &plain[..]));
    let ends_as_one_begins = b"a line, and s3";
    let passed = redactor.pass(ends_as_one_begins, &mut room);
    assert!(std::ptr::eq(passed, &ends_as_one_begins[..12]), "{}", show(passed));
    assert_eq!(show(redactor.pass(b". and s3cr3t/T0ken+with=signs&more!\n", &mut room)), "s3. and [secret 0]!\n");
    assert!(std::ptr::eq(redactor.pass(plain, &mut room), &plain[..]));
}

#[test]
fn nothing_is_held_back_that_cannot_become_a_secret() {
    let (mut redactor, mut out) = (Redactor::new(&secrets(&[TOKEN, b"line one\nline two"]), true), Vec::new());
    for text in ["Password: ", "> ", "$ ", "done\n", "45%\r", "Continue? [y/N] ", "\x1b[0m", "e\n", "-----\n", "\n\n"] {
        redactor.push(text.as_bytes(), &mut out);
        assert_eq!(show(&std::mem::take(&mut out)), text);
        assert!(redactor.is_idle());
    }
    redactor.push(b"it is s3cr", &mut out);
    assert_eq!(show(&out), "it is ");
    redactor.push(b"3t/T0ken+with=signs&mor", &mut out);
    assert_eq!(show(&out), "it is ");
    redactor.push(b"!", &mut out);
    assert_eq!(show(&out), "it is s3cr3t/T0ken+with=signs&mor!");
}

#[test]
fn the_stream_that_ends_is_told_whole() {
    let (mut redactor, mut out) = (Redactor::new(&secrets(&[TOKEN]), true), Vec::new());
    redactor.push(&TOKEN[..20], &mut out);
    redactor.finish(&mut out);
    assert_eq!(out, &TOKEN[..20]);
    redactor.push(TOKEN, &mut out);
    redactor.finish(&mut out);
    assert_eq!(show(&out[20..]), "[secret 0]");
    assert_eq!(redactor.found().get(&Found::Secret("0".into())), Some(&1));
}

/// What comes out of a text that is typed byte by byte by somebody who waits to see each of them.
fn typed(secrets: &Secrets, formats: bool, text: &[u8]) -> Vec<u8> {
    let (mut redactor, mut out) = (Redactor::new(secrets, formats), Vec::new());
    for byte in text {
        redactor.push(&[*byte], &mut out);
        redactor.show(&mut out);
        redactor.show(&mut out);
    }
    redactor.finish(&mut out);
    out
}

#[test]
fn who_waits_sees_the_first_bytes_of_what_may_become_a_secret_and_no_more() {
    let secrets = secrets(&[b"s3cr3t/T0ken+with=signs&more", b"password123"]);
    let mut redactor = Redactor::new(&secrets, true);
    let mut seen = |text: &[u8]| {
        let mut out = Vec::new();
        redactor.push(text, &mut out);
        redactor.show(&mut out);
        show(&out)
    };
    assert_eq!(seen(b"$ p"), "$ p");
    assert_eq!(seen(b"a"), "a");
    assert_eq!(seen(b"s"), "", "a quarter of the shortest secret, and no more of it");
    assert_eq!(seen(b"sword"), "");
    assert_eq!(seen(b": "), "ssword: ", "it has become none");
    assert_eq!(seen(b"pas"), "pa");
    assert_eq!(seen(b"sword123."), "[secret 1].");
    assert_eq!(seen(b"gh"), "gh");
    assert_eq!(seen(b"p_0123456789abcdefghijABCDEFGHIJ456789 "), "[redacted github-token] ");
}

#[test]
fn typing_gives_no_more_of_a_secret_away_than_its_first_bytes() {
    let secrets = secrets(&[TOKEN, b"s3cr3t/T0ken-another", b"T0ken+with"]);
    for form in disguises() {
        let text = format!("a {form} b");
        let (whole, typed) = (redacted(&secrets, true, &[text.as_bytes()]), typed(&secrets, true, text.as_bytes()));
        // The same but for what was shown before it was a secret.
        let markers = |bytes: &[u8]| show(bytes).matches("[secret").count();
        assert_eq!(markers(&whole), markers(&typed), "{text}: {} and {}", show(&whole), show(&typed));
        assert!(typed.len() <= whole.len() + 3 * markers(&whole).max(1), "{text}: {}", show(&typed));
        for part in telling() {
            assert!(!typed.windows(part.len()).any(|seen| seen == part), "{text}: {}", show(&typed));
        }
    }
    for (what, credential) in known_formats() {
        let text = format!("a {credential} b");
        let typed = show(&typed(&secrets, true, text.as_bytes()));
        assert!(typed.contains(&format!("[redacted {what}]")), "{text}: {typed}");
        let kept =
            credential.as_bytes().windows(12).filter(|part| typed.as_bytes().windows(12).any(|seen| seen == *part));
        let whole = show(&redacted(&secrets, true, &[text.as_bytes()]));
        let usual =
            credential.as_bytes().windows(12).filter(|part| whole.as_bytes().windows(12).any(|seen| seen == *part));
        assert_eq!(kept.count(), usual.count(), "{text}: {typed}");
    }
    let harmless = "a plain text -- with ghp and sk- and eyJ and p, pa, pas, and -----";
    assert_eq!(show(&typed(&secrets, true, harmless.as_bytes())), harmless);
}

#[test]
fn secrets_that_overlap_leave_nothing() {
    let known = secrets(&[b"abcdefgh", b"fghijklm", b"fghijklmnop"]);
    assert_eq!(show(&every_cut(&known, false, b"-abcdefghijklmnop-")), "-[secret 0]-");
    assert_eq!(show(&every_cut(&known, false, b"-abcdefghabcdefghx")), "-[secret 0]x");
    assert_eq!(show(&every_cut(&known, false, b"fghijklmnopabcdefgh")), "[secret 2][secret 0]");
}

#[test]
fn memory_is_bounded_by_the_secrets_and_not_by_the_stream() {
    let (mut redactor, mut out) = (Redactor::new(&secrets(&[b"aaaaaaaa", b"0123456789abcdef"]), true), Vec::new());
    for _ in 0..200 {
        redactor.push(&[b'a'; 5000], &mut out);
        assert!(redactor.held() <= 1200, "{}", redactor.held());
    }
    redactor.push(b".", &mut out);
    assert_eq!(show(&out), "[secret 0].");
    out.clear();
    // Beginnings of formats that never end.
    for text in ["eyJ", "-----BEGIN PRIVATE KEY-----\n", "Authorization: Bearer ", "ghp_"] {
        redactor.push(b"\n", &mut out);
        redactor.push(text.as_bytes(), &mut out);
        for _ in 0..100 {
            redactor.push(&[b'\t'; 4096], &mut out);
            redactor.push(&[b'x'; 4096], &mut out);
            assert!(redactor.held() <= 4200, "{text}: {}", redactor.held());
        }
    }
}

#[test]
fn a_file_is_kept_out_whole_and_line_by_line() {
    let lines: Vec<String> =
        (0..40).map(|n| format!("{:064x}", (n as u128 + 7) * 0x9e37_79b9_7f4a_7c15_1234_5678)).collect();
    let file = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let known = Secrets::new([("key.pem", file.as_bytes())]);
    let encoded = [
        file.clone(),
        wrapped(&STANDARD.encode(&file), 76, "\n"),
        wrapped(&STANDARD.encode(format!("ab{file}")), 64, "\r\n"),
        file.bytes().map(|byte| format!("{byte:02x}")).collect(),
        file.replace('\n', "\\n"),
        lines[20].clone(),
        format!("line: {}", STANDARD.encode(&lines[20])),
    ];
    for text in encoded {
        let out = show(&redacted(&known, false, &[text.as_bytes()]));
        assert!(out.contains("[secret key.pem]"), "{text}: {out}");
        for start in (30..text.len().saturating_sub(40)).step_by(7) {
            let part = &text[start..start + 20];
            let armour = part.contains("PRIVATE") || part.contains("-----");
            assert!(armour || part.contains('\n') || !out.contains(part), "{part}: {out}");
        }
    }
}

#[test]
fn a_binary_file_is_kept_out_in_pieces_too() {
    let bytes: Vec<u8> =
        (0..4000u64).flat_map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 30).to_le_bytes()[..3].to_vec()).collect();
    let known = Secrets::new([("store", &bytes)]);
    for text in
        [bytes.clone(), STANDARD.encode(&bytes).into_bytes(), [b"xy".as_slice(), &bytes[1000..9000], b"z"].concat()]
    {
        let out = redacted(&known, true, &text.chunks(4093).collect::<Vec<_>>());
        let kept = out.windows(24).filter(|part| text.windows(24).any(|w| w == *part)).count();
        // A part that begins or ends within a piece stays to that extent.
        assert!(kept < 128, "{kept}");
    }
}

#[test]
fn a_marker_holds_no_secret() {
    for value in ["secret", "TOKEN", "[secret TOKEN]", "ecre", "****", "[#1]"] {
        let known = Secrets::new([("TOKEN", value), ("OTHER", "secret #"), ("THIRD", "[#1]"), ("FOURTH", "#1]*")]);
        let out = show(&redacted(&known, false, &[format!("a {value} b").as_bytes()]));
        assert!(!out.contains(value), "{value}: {out}");
        assert!(out.starts_with("a ") && out.ends_with(" b"), "{out}");
    }
}

#[test]
fn short_values_are_named_and_not_looked_for() {
    let known = Secrets::new([("A", ""), ("B", "abc"), ("C", "abcd")]);
    assert_eq!(known.short(), ["B"]);
    assert_eq!(known.text("abc abcd").as_deref(), Some("abc [secret C]"));
    assert_eq!(known.text("abc"), None);
    assert_eq!(known.in_text("x=abcd"), Some("C"));
}

fn known_formats() -> Vec<(&'static str, String)> {
    let body = "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8S9t0";
    let jwt =
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";
    let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAtestTESTtestTESTtestTESTtestTESTtestTESTtestTEST\nAAAA+/8=\n-----END RSA PRIVATE KEY-----";
    let locked = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\nMIIEowIBAAKCAQEAtestTESTtestTEST\n-----END RSA PRIVATE KEY-----";
    vec![
        ("aws-access-key-id", "AKIAIOSFODNN7EXAMPLE".into()),
        ("github-token", format!("ghp_{}", &body[..36])),
        ("github-token", format!("ghs_{body}")),
        ("github-token", format!("github_pat_11ABCDEFG0{body}_{body}")),
        ("gitlab-token", "glpat-abcDEF123-_456ghiJKL".into()),
        ("slack-token", "xoxb-123456789012-1234567890123-abcdefABCDEF".into()),
        ("google-api-key", format!("AIzaSy{}", &body[..33])),
        ("stripe-key", "sk_live_4eC39HqLyjWDarjtT1zdp7dc".into()),
        ("npm-token", format!("npm_{}", &body[..36])),
        ("pypi-token", format!("pypi-AgEIcHlwaS5vcmc{body}{body}")),
        ("jwt", jwt.into()),
        ("private-key", pem.into()),
        ("private-key", pem.replace('\n', "\\n")),
        ("private-key", pem.replace('\n', "\r\n    ")),
        ("private-key", pem.replace("RSA", "OPENSSH")),
        ("private-key", pem.replace("RSA ", "")),
        ("private-key", locked.into()),
    ]
}

#[test]
fn credentials_of_known_formats_go_in_every_cut() {
    let none = Secrets::new::<String, Vec<u8>>([]);
    for (what, text) in known_formats() {
        for (before, after) in [("", ""), ("x=", "\n"), ("\"", "\",\n"), ("\n", " and more"), ("log\\n", ".")] {
            let out = show(&every_cut(&none, true, format!("{before}{text}{after}").as_bytes()));
            let after = if what == "jwt" || what == "private-key" { after.trim_start_matches('.') } else { after };
            assert_eq!(out.trim_end_matches('.'), format!("{before}[redacted {what}]{after}").trim_end_matches('.'));
        }
    }
}

#[test]
fn what_names_a_credential_stays() {
    let none = Secrets::new::<String, Vec<u8>>([]);
    let (key, token) = ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "mF_9.B5f-4.1JqM-long-enough-token==");
    for (text, told) in [
        (format!("aws_secret_access_key = {key}\n"), "aws_secret_access_key = [redacted aws-secret-access-key]\n"),
        (format!("AWS_SECRET_ACCESS_KEY={key} x"), "AWS_SECRET_ACCESS_KEY=[redacted aws-secret-access-key] x"),
        (format!("\"SecretAccessKey\": \"{key}\","), "\"SecretAccessKey\": \"[redacted aws-secret-access-key]\","),
        (format!("Authorization: Bearer {token}\r\n"), "Authorization: Bearer [redacted bearer-token]\r\n"),
        (format!("'authorization': 'bearer {token}'"), "'authorization': 'bearer [redacted bearer-token]'"),
    ] {
        assert_eq!(show(&every_cut(&none, true, text.as_bytes())), told);
    }
}

#[test]
fn what_only_looks_like_a_credential_stays() {
    let none = Secrets::new::<String, Vec<u8>>([]);
    let picture =
        STANDARD.encode((0..3000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>());
    let texts = [
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_string(),
        "550e8400-e29b-41d4-a716-446655440000".into(),
        format!("data:image/png;base64,{picture}"),
        wrapped(&picture, 76, "\n"),
        "-----BEGIN CERTIFICATE-----\nMIIEowIBAAKCAQEAtestTESTtestTEST\n-----END CERTIFICATE-----\n".into(),
        "-----BEGIN PUBLIC KEY-----\nMIIEowIBAAKCAQEAtestTESTtestTEST\n-----END PUBLIC KEY-----\n".into(),
        "a file begins with -----BEGIN PRIVATE KEY-----, then come letters".into(),
        "if text.contains(\"-----BEGIN PRIVATE KEY-----\") { panic!() }".into(),
        "npm_config_registry=https://registry.npmjs.org/ npm_package_name".into(),
        "AKIAIOSFODNN7EXAMPL AKIAIOSFODNN7EXAMPLES MAKIAIOSFODNN7EXAMPLE AKIAiosfodnn7example".into(),
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9 eyJ eyJhbGciOiJIUzI1NiJ9.e30.x".into(),
        "aws_secret_access_key = ${SECRET} AWS_SECRET_ACCESS_KEY=".into(),
        "Authorization: Bearer <token> Authorization: Basic abc, authorization is needed".into(),
        "ghp_short github_pat_ xoxb- sk_live_ sk_test_4eC39HqLyjWDarjtT1zdp7dc glpat-x".into(),
        "------------------------------------------------------------ BEGIN PRIVATE KEY".into(),
    ];
    for text in texts {
        assert_eq!(show(&every_cut(&none, true, text.as_bytes())), text);
    }
}

/// Texts that are made of secrets, parts of them, their forms, line ends and a few letters.
fn hostile() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>)> {
    let letters = prop::collection::vec(prop::sample::select(b"abA1+/=%\n".to_vec()), 4..20);
    let words = prop::collection::vec(any::<u8>(), 4..40);
    let values = prop::collection::vec(prop_oneof![letters.clone(), words], 1..4);
    values.prop_flat_map(|values| {
        let whole: Vec<Vec<u8>> = crate::forms::needles(&values.iter().map(Vec::as_slice).collect::<Vec<_>>())
            .into_iter()
            .map(|needle| needle.bytes)
            .collect();
        let part = (
            prop::sample::select(whole.clone()),
            any::<prop::sample::Index>(),
            any::<bool>(),
            any::<prop::sample::Index>(),
            0..3usize,
        )
            .prop_map(|(bytes, cut, front, broken, end)| {
                let cut = cut.index(bytes.len() + 1);
                let part = if front { &bytes[..cut] } else { &bytes[cut..] };
                if end == 0 || part.is_empty() {
                    return part.to_vec();
                }
                let at = broken.index(part.len());
                [&part[..at], if end == 1 { b"\n".as_slice() } else { b"\r\n  " }, &part[at..]].concat()
            });
        let whole = prop::sample::select(whole);
        let small = prop::collection::vec(prop::sample::select(b"abA1+/=% \r\n".to_vec()), 0..6);
        let text = prop::collection::vec(prop_oneof![3 => part, 1 => whole, 1 => small], 0..20);
        (Just(values), text.prop_map(|parts| parts.concat()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_redactor_does_what_its_reference_does((values, text) in hostile(), sizes in prop::collection::vec(1..60usize, 1..8)) {
        // The other alphabet may not be mixed with the first: see `filter`.
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let known = secrets(&values);
        let expected = show(&reference::redact(&values, &text));
        prop_assume!(!expected.contains("[secret #"));
        let given: Vec<&[u8]> = values.iter().map(|value| value.trim_ascii_end()).filter(|value| value.len() >= 4).collect();
        let by_grams = known.by_grams(&given);
        prop_assert_eq!(&show(&redacted(&known, false, &[&text])), &expected);
        prop_assert_eq!(&show(&redacted(&by_grams, false, &[&text])), &expected);
        let (mut pieces, mut rest, mut sizes) = (Vec::new(), text.as_slice(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(&show(&redacted(&known, false, &pieces)), &expected);
        prop_assert_eq!(show(&redacted(&by_grams, false, &pieces)), expected);
    }

    #[test]
    fn showing_changes_nothing_where_there_is_no_secret((values, text) in hostile(), sizes in prop::collection::vec((1..9usize, any::<bool>()), 1..8)) {
        let secrets = Secrets::new(values.iter().enumerate().map(|(n, value)| (n.to_string(), value)));
        let (mut redactor, mut out, mut rest) = (Redactor::new(&secrets, true), Vec::new(), &text[..]);
        for (size, shows) in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*size).min(rest.len()));
            redactor.push(piece, &mut out);
            if *shows {
                redactor.show(&mut out);
            }
            rest = more;
        }
        redactor.finish(&mut out);
        let whole = redacted(&secrets, true, &[&text]);
        if redactor.count() == 0 {
            prop_assert_eq!(show(&out), show(&text));
        } else {
            let holds = |text: &[u8], value: &[u8]| text.windows(value.len()).any(|seen| seen == value);
            for value in values.iter().map(|value| value.trim_ascii_end()).filter(|value| value.len() >= 4) {
                prop_assert!(!holds(&out, value) || holds(&whole, value), "{} in {}", show(value), show(&out));
            }
        }
    }

    #[test]
    fn formats_are_the_same_in_every_cut(parts in prop::collection::vec((0..17usize, 0..4usize, any::<prop::sample::Index>()), 0..6)) {
        let none = Secrets::new::<String, Vec<u8>>([]);
        let formats = known_formats();
        let text: String = parts.iter().map(|(n, gap, cut)| {
            let text = &formats[*n].1;
            let cut = cut.index(text.len() + 1);
            format!("{}{}", ["", " ", "\n", "x."][*gap], &text[..if cut % 3 == 0 { text.len() } else { cut }])
        }).collect();
        every_cut(&none, true, text.as_bytes());
    }
}

/// How fast it is, by hand: `cargo test --release -p aido-secrets -- --ignored --nocapture speed`.
#[test]
#[ignore = "measures, and proves nothing"]
fn speed() {
    let prose =
        "The quick brown fox, it seems, jumps over 42 lazy dogs; error: cannot open file (os error 2)\n".repeat(20_000);
    let picture =
        STANDARD.encode((0..1_500_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<u8>>());
    let dump: String =
        (0..1_000_000u32).map(|n| format!("{:02x}", (n.wrapping_mul(2_654_435_761) >> 13) as u8)).collect();
    let key: Vec<u8> = (0..65_536u32).map(|n| (n.wrapping_mul(2_246_822_519) >> 11) as u8).collect();
    let sets: [(&str, Vec<&[u8]>); 5] = [
        ("none", vec![]),
        ("token of 28", vec![TOKEN]),
        ("password of 9", vec![b"passw0rd!"]),
        (
            "four and a word",
            vec![TOKEN, b"0123456789abcdef0123", b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9", b"hunter22", b"production"],
        ),
        ("64 KiB", vec![&key]),
    ];
    for (set, values) in sets {
        let made = std::time::Instant::now();
        let known = secrets(&values);
        let made = made.elapsed();
        for (name, text) in [("prose", &prose), ("base64", &picture), ("hex", &dump)] {
            let (mut redactor, mut out) = (Redactor::new(&known, true), Vec::new());
            let (started, mut bytes) = (std::time::Instant::now(), 0);
            while bytes < 200 << 20 {
                for piece in text.as_bytes().chunks(1 << 16) {
                    redactor.push(piece, &mut out);
                    out.clear();
                    bytes += piece.len();
                }
            }
            let rate = bytes as f64 / started.elapsed().as_secs_f64() / 1e6;
            println!("{set:>16} {name:>7}: {rate:6.0} MB/s, {} KiB, made in {made:?}", known.memory() >> 10);
        }
    }
}
