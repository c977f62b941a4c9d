use dev_credentials::{AUDIENCE, ISSUER, TokenIssuer, claims, now};
use serde_json::{Value, json};

use super::*;

fn key_set(file: &str) -> KeySet {
    signature::install();
    KeySet::read(file.as_bytes(), ISSUER, AUDIENCE).unwrap()
}

fn of(more: &Value) -> Value {
    claims("teller", more)
}

/// What a token is worth, with the keys of its issuer.
fn judged(make: impl FnOnce(&TokenIssuer) -> String) -> Result<Caller, TokenInvalid> {
    let issuer = TokenIssuer::new();
    key_set(&issuer.jwks()).verify(&make(&issuer))
}

#[test]
fn a_good_token_proves_who_calls_and_what_he_may_do() {
    let more = json!({"scope": "read", "owners": ["acme"], "aud": ["other", AUDIENCE]});
    let caller = judged(|issuer| issuer.sign(&of(&more))).unwrap();
    assert_eq!(caller.actor(), Some("token:teller"));
    assert!(caller.has(crate::caller::Scope::Read) && !caller.has(crate::caller::Scope::Write));
    assert!(caller.reach().includes_owner("acme") && !caller.reach().includes_owner("other"));
    assert!(judged(|issuer| issuer.sign_with_eddsa(&of(&more))).is_ok());
}

#[test]
fn keys_may_also_come_as_pem() {
    let issuer = TokenIssuer::new();
    let keys = key_set(&issuer.pem());
    assert!(keys.verify(&issuer.sign(&of(&json!({})))).is_ok());
    assert!(keys.verify(&issuer.sign_with_eddsa(&of(&json!({})))).is_ok());
}

#[test]
fn no_token_chooses_how_little_it_is_verified() {
    let good = of(&json!({}));
    for invalid in [
        judged(|issuer| issuer.unsigned(&good)),
        judged(|issuer| issuer.sign_with_public_key(&good)),
        judged(|issuer| issuer.sign_under(&json!({"alg": "RS256"}), &good)),
        judged(|issuer| issuer.sign_under(&json!({"alg": "ES256", "crit": ["x"], "x": 1}), &good)),
    ] {
        assert_eq!(invalid.map(|_| ()).unwrap_err(), TokenInvalid::Unreadable);
    }
    for invalid in [
        judged(|_| TokenIssuer::new().sign(&good)),
        // The signature of one key under the name of the other.
        judged(|issuer| issuer.sign_under(&json!({"alg": "EdDSA", "kid": "ed"}), &good)),
        judged(|issuer| issuer.sign_under(&json!({"alg": "ES256", "kid": "other"}), &good)),
        judged(|issuer| {
            let (good, evil) = (issuer.sign(&good), issuer.sign(&of(&json!({"sub": "boss"}))));
            let signature = good.rsplit('.').next().unwrap();
            format!("{}.{signature}", evil.rsplit_once('.').unwrap().0)
        }),
    ] {
        assert_eq!(invalid.map(|_| ()).unwrap_err(), TokenInvalid::Signature);
    }
}

#[test]
fn every_claim_is_looked_at() {
    let long = "x".repeat(ACTOR_BYTES_MAX);
    for (more, why) in [
        (json!({"exp": now() - LEEWAY_SECONDS - 2}), TokenInvalid::Expired),
        (json!({"exp": 0}), TokenInvalid::Expired),
        (json!({"nbf": now() + LEEWAY_SECONDS + 10}), TokenInvalid::TooEarly),
        (json!({"aud": "other"}), TokenInvalid::Audience),
        (json!({"aud": ["other", "another"]}), TokenInvalid::Audience),
        (json!({"iss": "https://other.example"}), TokenInvalid::Issuer),
        (json!({"exp": null}), TokenInvalid::Claims),
        (json!({"exp": "tomorrow"}), TokenInvalid::Claims),
        (json!({"exp": -1}), TokenInvalid::Claims),
        (json!({"aud": null}), TokenInvalid::Claims),
        (json!({"iss": null}), TokenInvalid::Claims),
        (json!({"iss": 7}), TokenInvalid::Claims),
        (json!({"sub": null}), TokenInvalid::Claims),
        (json!({"sub": ""}), TokenInvalid::Claims),
        (json!({"sub": "a\nb"}), TokenInvalid::Claims),
        (json!({"sub": long}), TokenInvalid::Claims),
        (json!({"nbf": "soon"}), TokenInvalid::Claims),
        (json!({"accounts": ["*"]}), TokenInvalid::Claims),
        (json!({"owners": "*"}), TokenInvalid::Claims),
        (json!({"scope": ["read"]}), TokenInvalid::Claims),
    ] {
        let judged = judged(|issuer| issuer.sign(&of(&more))).map(|_| ());
        assert_eq!(judged, Err(why), "{more}");
    }
}

#[test]
fn clocks_may_differ_a_little() {
    for fine in
        [json!({"exp": now() - LEEWAY_SECONDS + 10}), json!({"nbf": now() + LEEWAY_SECONDS - 10})]
    {
        assert!(judged(|issuer| issuer.sign(&of(&fine))).is_ok(), "{fine}");
    }
}

/// A key on a curve that is not taken here.
const P384_PEM: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEXC8AQ43mxM6BY/qhYz9orrF2Z0+6ik/i
iARzrz7Y+HXaBrmqwcQjp8tWNASOKwh38CO5pCDxCJrAfUUmZHjZ3UzFNukXm74B
QRH3gjsTHXyW0GG/AZSLM8i21/IeUp2b
-----END PUBLIC KEY-----
";

#[test]
fn only_public_keys_for_signatures_are_taken() {
    let issuer = TokenIssuer::new();
    let token = issuer.sign(&of(&json!({})));
    let secret = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}).to_string();
    let mut for_encryption: Value = serde_json::from_str(&issuer.jwks()).unwrap();
    for key in for_encryption["keys"].as_array_mut().unwrap() {
        key["use"] = json!("enc");
    }
    let unknown = json!({"keys": [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "x"}]}).to_string();
    for keyless in ["{\"keys\": []}", &secret, &for_encryption.to_string(), &unknown, P384_PEM] {
        let judged = key_set(keyless).verify(&token).map(|_| ());
        assert_eq!(judged, Err(TokenInvalid::Signature), "{keyless}");
    }
}

#[test]
fn a_key_for_others_does_not_shut_out_ours() {
    let issuer = TokenIssuer::new();
    let keys = key_set(&format!("{P384_PEM}{}", issuer.pem()));
    assert!(keys.verify(&issuer.sign(&of(&json!({})))).is_ok());
}

#[test]
fn what_is_no_list_of_public_keys_is_not_taken_for_an_empty_one() {
    let issuer = TokenIssuer::new();
    let private = issuer.pem().replace("PUBLIC", "PRIVATE");
    let half_pem = &issuer.pem()[..80];
    let half_jwks = &issuer.jwks()[..80];
    for useless in ["", " \n", "{}", "{", "x", "{\"keys\": 1}", half_pem, half_jwks, &private] {
        assert!(KeySet::read(useless.as_bytes(), ISSUER, AUDIENCE).is_err(), "{useless}");
    }
}

/// The example of RFC 7515, A.2: a key and a signature that neither of our libraries has made.
#[test]
fn a_signature_of_rs256_is_verified_as_the_standard_shows() {
    const KEY: &str = r#"{"keys": [{"kty": "RSA", "e": "AQAB", "n":
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;
    const TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let keys = key_set(&KEY.replace('\n', ""));
    // Its signature is good; what it claims is not what is asked for here.
    assert_eq!(keys.verify(TOKEN).map(|_| ()), Err(TokenInvalid::Claims));
    let forged = TOKEN.replace(".cC4h", ".cC4i");
    assert_eq!(keys.verify(&forged).map(|_| ()), Err(TokenInvalid::Signature));
}
