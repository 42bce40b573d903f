//! Days as people write them: 2026-11-28.
//!
//! Both ways are Howard Hinnant's "chrono-compatible low-level date algorithms", `civil_from_days` and
//! `days_from_civil`.

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
/// Days of 400 years.
const ERA: i64 = 146_097;

/// The date of a day since 1970-01-01.
#[must_use]
pub fn format(day: i32) -> String {
    let shifted = i64::from(day) + EPOCH;
    let (era, day_of_era) = (shifted.div_euclid(ERA), shifted.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The day since 1970-01-01 that a date is.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<i32, String> {
    let number = |text: &str, digits| {
        let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten()
    };
    let parts: Vec<&str> = text.split('-').collect();
    let date = match parts[..] {
        [year, month, day] => number(year, 4).zip(number(month, 2)).zip(number(day, 2)),
        _ => None,
    };
    let day = date.and_then(|((year, month), day)| day_of(year, month, day));
    // There is no 31st of June: what is written back differs.
    let day = day.filter(|day| format(*day) == text);
    day.ok_or_else(|| "a date is written as 2026-11-28".to_owned())
}

fn day_of(year: i64, month: i64, day: i64) -> Option<i32> {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * ERA + day_of_era - EPOCH).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_reads_back_as_it_is_written() {
        assert_eq!(
            (format(0), format(-1), format(15_512)),
            ("1970-01-01".into(), "1969-12-31".into(), "2012-06-21".into())
        );
        for day in (-200_000..200_000).step_by(17) {
            assert_eq!(parse(&format(day)), Ok(day));
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for bad in [
            "",
            "2026-06-31",
            "2026-13-01",
            "2026-00-10",
            "2025-02-29",
            "26-06-01",
            "2026-6-1",
            "2026-06-01-",
            "+026-06-01",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("2024-02-29"), Ok(19_782));
    }
}
