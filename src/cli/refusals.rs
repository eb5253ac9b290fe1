//! What to do where AWS refuses: its error codes, found in the text of an error or of one of its causes, each with a hint.

/// Codes of AWS and what the SDK says where it cannot even ask, most telling first; each line is one thing to do.
const HINTS: &[(&[&str], &str)] = &[
    (
        &["NoSuchBucket"],
        "look at the bucket's name in `lake` and `location`, and whether these credentials belong to its account \
         (`aws sts get-caller-identity`)",
    ),
    (
        &["ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException"],
        "the credentials have expired: log in again (`aws sso login`) or fetch new ones, then repeat the command; nothing is half done",
    ),
    (
        &["RequestTimeTooSkewed", "RequestExpired"],
        "this machine's clock is wrong by more than AWS allows (15 minutes): set it, then repeat the command",
    ),
    (
        &[
            "PermanentRedirect",
            "AuthorizationHeaderMalformed",
            "IllegalLocationConstraint",
            "incorrectly configured region",
        ],
        "the bucket is in another region than the one that is set: AWS_REGION, or `region` of the profile",
    ),
    (
        &["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "UnrecognizedClientException"],
        "AWS does not know these credentials: look which ones are found (`aws sts get-caller-identity`), and at AWS_PROFILE",
    ),
    (
        &["AccessDenied", "AccessDeniedException", "KMS.DisabledException", "403 Forbidden"],
        "the credentials found may not do that, in the bucket's policy, their own, or that of its KMS key; docs/AWS.md says what each \
         role needs",
    ),
    (
        &["CredentialsNotLoaded", "no providers in chain provided credentials", "failed to load IMDS session token"],
        "no credentials were found: set AWS_PROFILE, log in (`aws sso login`), or run where there is a role",
    ),
    (
        &["SlowDown", "503 Service Unavailable"],
        "S3 asked to slow down for minutes on end: repeat the command later; nothing is half done",
    ),
];

/// The hint for a text that tells of a refusal.
pub(super) fn hint(text: &str) -> Option<&'static str> {
    HINTS.iter().find(|(codes, _)| codes.iter().any(|code| text.contains(code))).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_told_from_a_text_without_one() {
        assert!(hint("403 Forbidden: <Error><Code>ExpiredToken</Code>").is_some_and(|hint| hint.contains("expired")));
        assert!(hint("403 Forbidden: <Error><Code>AccessDenied</Code>").is_some_and(|hint| hint.contains("policy")));
        assert_eq!(hint("404 Not Found: <Error><Code>NoSuchKey</Code>"), None);
    }
}
