//! Credentials of well-known formats: what begins them, and what they are made of.
//!
//! Each rule is narrow enough that digests, UUIDs, words and pictures in Base64 are none.

/// How a credential goes on after its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// So many characters of a kind, at least; as many as come belong to it.
    Open { kind: fn(u8) -> bool, least: usize },
    /// Just so many, and then something else.
    Exact { kind: fn(u8) -> bool, count: usize },
    /// Two parts with a dot between them, the second beginning as the first did.
    Token,
    /// Quotes, `=` or `:`, and then just forty characters.
    Assigned,
    /// A header with a scheme and a long token.
    Header,
    /// The rest of a PEM head with `PRIVATE KEY` in it, and a body.
    Key,
}

pub(crate) struct Rule {
    pub(crate) prefix: &'static str,
    /// What it is called.
    pub(crate) what: &'static str,
    pub(crate) shape: Shape,
}

const fn open(prefix: &'static str, what: &'static str, kind: fn(u8) -> bool, least: usize) -> Rule {
    Rule { prefix, what, shape: Shape::Open { kind, least } }
}

const fn exact(prefix: &'static str, what: &'static str, kind: fn(u8) -> bool, count: usize) -> Rule {
    Rule { prefix, what, shape: Shape::Exact { kind, count } }
}

const fn shaped(prefix: &'static str, what: &'static str, shape: Shape) -> Rule {
    Rule { prefix, what, shape }
}

const AWS: &str = "aws-access-key-id";
const AWS_SECRET: &str = "aws-secret-access-key";
const GITHUB: &str = "github-token";
const SLACK: &str = "slack-token";
const STRIPE: &str = "stripe-key";

pub(crate) const RULES: [Rule; 32] = [
    exact("AKIA", AWS, is_upper, 16),
    exact("ASIA", AWS, is_upper, 16),
    shaped("aws_secret_access_key", AWS_SECRET, Shape::Assigned),
    shaped("AWS_SECRET_ACCESS_KEY", AWS_SECRET, Shape::Assigned),
    shaped("aws_secret_key", AWS_SECRET, Shape::Assigned),
    shaped("SecretAccessKey", AWS_SECRET, Shape::Assigned),
    shaped("secretAccessKey", AWS_SECRET, Shape::Assigned),
    open("ghp_", GITHUB, is_alphanumeric, 36),
    open("gho_", GITHUB, is_alphanumeric, 36),
    open("ghu_", GITHUB, is_alphanumeric, 36),
    open("ghs_", GITHUB, is_alphanumeric, 36),
    open("ghr_", GITHUB, is_alphanumeric, 36),
    open("github_pat_", GITHUB, is_word, 36),
    open("glpat-", "gitlab-token", is_url, 20),
    open("xoxb-", SLACK, is_dashed, 20),
    open("xoxp-", SLACK, is_dashed, 20),
    open("xoxa-", SLACK, is_dashed, 20),
    open("xoxr-", SLACK, is_dashed, 20),
    open("xoxs-", SLACK, is_dashed, 20),
    open("xoxe-", SLACK, is_dashed, 20),
    open("xoxe.xoxp-", SLACK, is_dashed, 20),
    open("xoxe.xoxb-", SLACK, is_dashed, 20),
    exact("AIza", "google-api-key", is_url, 35),
    open("sk_live_", STRIPE, is_alphanumeric, 16),
    open("rk_live_", STRIPE, is_alphanumeric, 16),
    exact("npm_", "npm-token", is_alphanumeric, 36),
    open("pypi-AgE", "pypi-token", is_url, 40),
    shaped("eyJ", "jwt", Shape::Token),
    shaped("Authorization", "bearer-token", Shape::Header),
    shaped("authorization", "bearer-token", Shape::Header),
    shaped("AUTHORIZATION", "bearer-token", Shape::Header),
    shaped("-----BEGIN ", "private-key", Shape::Key),
];

pub(crate) fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

pub(crate) fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(crate) fn is_dashed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

pub(crate) fn is_url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

pub(crate) fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

/// What a token in a header is made of.
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// What a JSON web token goes on with.
pub(crate) fn is_dotted(byte: u8) -> bool {
    is_url(byte) || byte == b'.'
}
