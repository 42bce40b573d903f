//! The planning calendar: which days are worked, and the way from a due day back to a release day.
//!
//! Working days are counted, not walked: a lead time of years costs as much as one of a day.

pub use crate::types::Day;

/// Days of a week that are worked, Monday first.
pub type Week = [bool; WEEK];

const WEEK: usize = 7;
/// Days from a Monday to day zero.
const MONDAY_TO_EPOCH: i64 = 3;

/// Why a calendar is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalendarError {
    /// No day of the week is worked.
    NoWorkingDay,
    /// A working day has no working time.
    NoWorkingTime,
}

impl std::fmt::Display for CalendarError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoWorkingDay => write!(f, "no day of the week is worked"),
            Self::NoWorkingTime => write!(f, "a working day has no working time"),
        }
    }
}

impl std::error::Error for CalendarError {}

/// Which days are worked, and for how long.
///
/// Days of the week that are worked are numbered through all weeks. A holiday among them takes its
/// number away from those behind it, so that both ways between a day and its number are a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    seconds_per_day: u32,
    /// Of each day of the week: how many worked days of its week come before it.
    before: [i64; WEEK],
    week: Week,
    /// The days of the week that are worked, Monday is 0.
    worked: Vec<i64>,
    /// The numbers, by the week alone, of the holidays that would be worked. Ascending.
    holidays: Vec<i64>,
    /// Of each of them: how many days are really worked before it. Ascending.
    worked_before_holiday: Vec<i64>,
}

impl Calendar {
    /// A calendar: the days of the week that are worked, the days that are not although their week
    /// says so (in any order), and the working time of a day in seconds.
    ///
    /// # Errors
    /// When nothing is ever worked.
    pub fn new(week: Week, holidays: &[Day], seconds_per_day: u32) -> Result<Self, CalendarError> {
        let worked: Vec<i64> = (0..).zip(week).filter(|(_, works)| *works).map(|(day, _)| day).collect();
        if worked.is_empty() {
            return Err(CalendarError::NoWorkingDay);
        }
        if seconds_per_day == 0 {
            return Err(CalendarError::NoWorkingTime);
        }
        let mut before = [0; WEEK];
        for day in 1..WEEK {
            before[day] = before[day - 1] + i64::from(week[day - 1]);
        }
        let mut calendar =
            Self { seconds_per_day, before, week, worked, holidays: Vec::new(), worked_before_holiday: Vec::new() };
        let mut numbers: Vec<i64> = holidays
            .iter()
            .filter(|day| calendar.week[weekday(i64::from(day.0))])
            .map(|day| calendar.number_by_week(i64::from(day.0)))
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        calendar.worked_before_holiday = (0..).zip(&numbers).map(|(taken, number)| number - taken).collect();
        calendar.holidays = numbers;
        Ok(calendar)
    }

    /// The working time of a day, in seconds. Never zero.
    #[must_use]
    pub fn seconds_per_day(&self) -> u32 {
        self.seconds_per_day
    }

    /// Whether the day is worked.
    #[must_use]
    pub fn is_working(&self, day: Day) -> bool {
        let day = i64::from(day.0);
        self.week[weekday(day)] && self.holidays.binary_search(&self.number_by_week(day)).is_err()
    }

    /// The working day that lies `days` working days before the last one on or before `day`, or
    /// `None` when that is before all days.
    #[must_use]
    pub fn back(&self, day: Day, days: u32) -> Option<Day> {
        let last = self.number(day) - i64::from(!self.is_working(day));
        self.day(last - i64::from(days))
    }

    /// The working day that lies `days` working days behind the first one on or after `day`, or
    /// `None` when that is behind all days.
    #[must_use]
    pub fn forward(&self, day: Day, days: u32) -> Option<Day> {
        self.day(self.number(day) + i64::from(days))
    }

    /// How many days of the week that are worked lie before `day`, from some origin.
    fn number_by_week(&self, day: i64) -> i64 {
        let weeks = (day + MONDAY_TO_EPOCH).div_euclid(WEEK as i64);
        weeks * self.worked.len() as i64 + self.before[weekday(day)]
    }

    /// How many days that are really worked lie before `day`, from the same origin.
    fn number(&self, day: Day) -> i64 {
        let number = self.number_by_week(i64::from(day.0));
        number - self.holidays.partition_point(|holiday| *holiday < number) as i64
    }

    /// The day that is really worked and has this number.
    fn day(&self, number: i64) -> Option<Day> {
        let holidays = self.worked_before_holiday.partition_point(|before| *before <= number);
        let by_week = number + holidays as i64;
        let per_week = self.worked.len() as i64;
        let weekday = self.worked[by_week.rem_euclid(per_week) as usize];
        i32::try_from(by_week.div_euclid(per_week) * WEEK as i64 + weekday - MONDAY_TO_EPOCH).ok().map(Day)
    }
}

fn weekday(day: i64) -> usize {
    (day + MONDAY_TO_EPOCH).rem_euclid(WEEK as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: Week = [true, true, true, true, true, false, false];

    /// Day by day, as one would count on a wall calendar.
    fn walked(calendar: &Calendar, day: Day, days: u32, step: i32) -> Day {
        let mut day = day;
        while !calendar.is_working(day) {
            day.0 += step;
        }
        for _ in 0..days {
            day.0 += step;
            while !calendar.is_working(day) {
                day.0 += step;
            }
        }
        day
    }

    #[test]
    fn counting_agrees_with_walking() {
        let weeks: [Week; 4] = [OFFICE, [true; 7], [false, false, false, false, false, false, true], {
            [true, false, true, false, true, true, false]
        }];
        for week in weeks {
            let holidays = [Day(8), Day(1), Day(2), Day(2), Day(-6), Day(30), Day(31), Day(32)];
            let calendar = Calendar::new(week, &holidays, 1).expect("some days are worked");
            for day in -40..60 {
                for days in 0..25 {
                    let day = Day(day);
                    assert_eq!(calendar.back(day, days), Some(walked(&calendar, day, days, -1)), "{day} back {days}");
                    assert_eq!(calendar.forward(day, days), Some(walked(&calendar, day, days, 1)), "{day} on {days}");
                }
            }
        }
    }

    #[test]
    fn weekends_and_holidays_are_not_worked() {
        let calendar = Calendar::new(OFFICE, &[Day(1)], 8 * 3_600).expect("five days are worked");
        let worked: Vec<i32> = (0..14).filter(|day| calendar.is_working(Day(*day))).collect();
        // Day 0 is a Thursday, the Friday behind it a holiday.
        assert_eq!(worked, [0, 4, 5, 6, 7, 8, 11, 12, 13]);
        assert_eq!(calendar.back(Day(4), 1), Some(Day(0)), "from Monday to Thursday, over the holiday");
        assert_eq!(calendar.back(Day(10), 0), Some(Day(8)), "what is due on a Sunday is done on the Friday");
        assert_eq!(calendar.forward(Day(1), 0), Some(Day(4)));
    }

    #[test]
    fn the_ends_of_time_are_not_passed() {
        let calendar = Calendar::new([true; 7], &[Day(i32::MIN), Day(i32::MAX)], 1).expect("all days are worked");
        assert_eq!(calendar.back(Day(i32::MIN + 1), 0), Some(Day(i32::MIN + 1)));
        assert_eq!(calendar.back(Day(i32::MIN + 1), 1), None);
        assert_eq!(calendar.back(Day(i32::MAX), u32::MAX - 2), Some(Day(i32::MIN + 1)));
        assert_eq!(calendar.forward(Day(i32::MAX), 0), None);
        assert_eq!(calendar.forward(Day(0), u32::MAX), None);
    }

    #[test]
    fn a_calendar_works_sometimes() {
        assert_eq!(Calendar::new([false; 7], &[], 1), Err(CalendarError::NoWorkingDay));
        assert_eq!(Calendar::new(OFFICE, &[], 0), Err(CalendarError::NoWorkingTime));
    }
}
