//! Quantities as people type them: `500ms`, `1h30m`, `256MiB`.

use std::time::Duration;

/// Reads a span of time. A number needs its unit: `10` could be anything.
///
/// # Errors
/// A sentence that says what is wrong and how it is written.
pub fn duration(text: &str) -> Result<Duration, String> {
    const HELP: &str = "write it like 500ms, 10s, 2m, 1h or 1h30m";
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut seconds = 0.0_f64;
    while !rest.is_empty() {
        let (number, unit, after) =
            split_number(rest).ok_or_else(|| format!("is no span of time; {HELP}"))?;
        let scale = match unit {
            "ms" => 1e-3,
            "s" | "sec" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            "" => return Err(format!("has no unit; {HELP}")),
            _ => return Err(format!("has the unknown unit \"{unit}\"; {HELP}")),
        };
        seconds += number * scale;
        rest = after;
    }
    if text.is_empty() {
        return Err(format!("is empty; {HELP}"));
    }
    // Whole microseconds: 0.1 s is then 100 ms and not 99.999….
    let micros = (seconds * 1e6).round();
    if micros > u64::MAX as f64 / 2.0 {
        return Err("is longer than adrt can wait".to_owned());
    }
    Ok(Duration::from_micros(micros as u64))
}

/// As it is on the wire.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a number of bytes. `K`, `M`, `G` are powers of 1024, as `KiB` and so
/// on; `kB`, `MB`, `GB` powers of 1000; a bare number is bytes.
///
/// # Errors
/// A sentence that says what is wrong and how it is written.
pub fn size(text: &str) -> Result<u64, String> {
    const HELP: &str = "write it like 4096, 64KiB, 256MiB or 1GiB";
    let Some((number, unit, "")) = split_number(text.trim()) else {
        return Err(format!("is no size; {HELP}"));
    };
    let scale: u64 = match unit {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(format!("has the unknown unit \"{unit}\"; {HELP}")),
    };
    let count = number * scale as f64;
    if count >= u64::MAX as f64 {
        return Err("is larger than any disk".to_owned());
    }
    Ok(count.round() as u64)
}

/// Splits `1.5h30m` into 1.5, `h` and `30m`.
fn split_number(text: &str) -> Option<(f64, &str, &str)> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number = text.get(..digits)?.parse::<f64>().ok()?;
    let tail = text.get(digits..)?.trim_start();
    let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
    Some((number, tail.get(..letters)?, tail.get(letters..)?.trim_start()))
}

/// Exit codes as `--fatal-exit` takes them: 1 to 255.
///
/// # Errors
/// A sentence that says what an exit code is.
pub fn exit_code(text: &str) -> Result<i32, String> {
    match text.trim().parse::<i32>() {
        Ok(code @ 1..=255) => Ok(code),
        Ok(0) => Err("is success, which ends the run anyway".to_owned()),
        _ => Err("is no exit code; those are 1 to 255".to_owned()),
    }
}

/// A share from 0 to 1.
///
/// # Errors
/// A sentence that says so.
pub fn share(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err("is no number from 0 to 1".to_owned()),
    }
}

/// A factor from 1 to 1000.
///
/// # Errors
/// A sentence that says so.
pub fn factor(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if (1.0..=1000.0).contains(&value) => Ok(value),
        _ => Err("is no number from 1 to 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5s", 1_500),
            ("0.1s", 100),
            ("7d", 604_800_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "s", "ten", "-1s", "1y", "1s2", "1..5s", "999999999999999d"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("10").is_err_and(|why| why.starts_with("has no unit")));
    }

    #[test]
    fn sizes() {
        for (text, count) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65_536),
            ("256MiB", 256 << 20),
            ("256M", 256 << 20),
            ("1.5 GiB", 3 << 29),
            ("1MB", 1_000_000),
        ] {
            assert_eq!(size(text), Ok(count), "{text}");
        }
        for text in ["", "MiB", "1XB", "-5", "1KiB2", "99999999999TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(exit_code("3"), Ok(3));
        assert!(exit_code("0").is_err() && exit_code("256").is_err() && exit_code("x").is_err());
        assert_eq!(share("0.2"), Ok(0.2));
        assert!(share("1.1").is_err() && share("NaN").is_err());
        assert_eq!(factor("2"), Ok(2.0));
        assert!(factor("0.5").is_err() && factor("inf").is_err());
    }
}
