//! A time zone for a place: that of the nearest of some cities, or the nautical one where there is none near.

use jiff::tz::TimeZone;

/// Farther than this from every city, degrees, a place is at sea.
const NEAR: f64 = 12.0;

/// (latitude, longitude, IANA name)
const CITIES: [(f64, f64, &str); 40] = [
    (47.61, -122.33, "America/Los_Angeles"),
    (34.05, -118.24, "America/Los_Angeles"),
    (33.45, -112.07, "America/Phoenix"),
    (39.74, -104.99, "America/Denver"),
    (41.88, -87.63, "America/Chicago"),
    (29.76, -95.37, "America/Chicago"),
    (40.71, -74.01, "America/New_York"),
    (28.54, -81.38, "America/New_York"),
    (49.28, -123.12, "America/Vancouver"),
    (51.05, -114.07, "America/Edmonton"),
    (49.90, -97.14, "America/Winnipeg"),
    (43.65, -79.38, "America/Toronto"),
    (45.50, -73.57, "America/Toronto"),
    (19.43, -99.13, "America/Mexico_City"),
    (-23.55, -46.63, "America/Sao_Paulo"),
    (-34.60, -58.38, "America/Argentina/Buenos_Aires"),
    (51.51, -0.13, "Europe/London"),
    (53.35, -6.26, "Europe/Dublin"),
    (38.72, -9.14, "Europe/Lisbon"),
    (40.42, -3.70, "Europe/Madrid"),
    (41.39, 2.17, "Europe/Madrid"),
    (48.86, 2.35, "Europe/Paris"),
    (43.30, 5.37, "Europe/Paris"),
    (52.37, 4.90, "Europe/Amsterdam"),
    (52.52, 13.41, "Europe/Berlin"),
    (48.14, 11.58, "Europe/Berlin"),
    (50.94, 6.96, "Europe/Berlin"),
    (47.38, 8.54, "Europe/Zurich"),
    (48.21, 16.37, "Europe/Vienna"),
    (41.90, 12.50, "Europe/Rome"),
    (52.23, 21.01, "Europe/Warsaw"),
    (59.33, 18.07, "Europe/Stockholm"),
    (37.98, 23.73, "Europe/Athens"),
    (30.04, 31.24, "Africa/Cairo"),
    (-26.20, 28.05, "Africa/Johannesburg"),
    (28.61, 77.21, "Asia/Kolkata"),
    (1.35, 103.82, "Asia/Singapore"),
    (35.68, 139.69, "Asia/Tokyo"),
    (-33.87, 151.21, "Australia/Sydney"),
    (-36.85, 174.76, "Pacific/Auckland"),
];

/// The name of the zone at a place.
pub(super) fn at(latitude: f64, longitude: f64) -> String {
    let distance = |city: &(f64, f64, &str)| {
        let east = (longitude - city.1 + 540.0).rem_euclid(360.0) - 180.0;
        (latitude - city.0).hypot(east * latitude.to_radians().cos())
    };
    let nearest = CITIES.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    match nearest {
        Some(city) if distance(city) <= NEAR => city.2.to_owned(),
        _ => nautical(longitude),
    }
}

/// The zone by longitude alone. The names of tzdata count westwards: `Etc/GMT+8` is eight hours behind.
fn nautical(longitude: f64) -> String {
    match (longitude / 15.0).round() as i64 {
        0 => "GMT".to_owned(),
        hours if hours > 0 => format!("Etc/GMT-{hours}"),
        hours => format!("Etc/GMT+{}", -hours),
    }
}

/// The zone of a name of tzdata.
pub(super) fn named(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_in_tzdata() {
        for (latitude, longitude, name) in CITIES {
            assert!(named(name).is_some(), "{name}");
            assert_eq!(at(latitude, longitude), name);
        }
        for longitude in (-180..=180).step_by(5) {
            let name = at(-60.0, f64::from(longitude));
            assert!(named(&name).is_some(), "{name}");
        }
    }

    #[test]
    fn places_get_the_zone_around_them() {
        assert_eq!(at(47.45, -122.31), "America/Los_Angeles");
        assert_eq!(at(53.55, 9.99), "Europe/Berlin");
        assert_eq!(at(-45.0, -120.0), "Etc/GMT+8");
        assert_eq!(at(-45.0, 0.0), "GMT");
    }
}
