//! The countries of the table, with their parts.

/// A country that the sandbox has holidays for.
#[derive(Debug)]
pub(super) struct Country {
    /// ISO 3166-1 alpha-2.
    pub code: &'static str,
    /// English.
    pub name: &'static str,
    /// Main language, ISO 639-1, upper case.
    pub language: &'static str,
    /// ISO 3166-2 codes. The order is that of the staggering of school holidays.
    pub regions: &'static [&'static str],
}

/// The country of a code, in either case.
pub(super) fn find(code: &str) -> Option<&'static Country> {
    COUNTRIES.iter().find(|country| country.code.eq_ignore_ascii_case(code))
}

pub(super) const COUNTRIES: [Country; 10] = [
    Country {
        code: "AT",
        name: "Austria",
        language: "DE",
        regions: &["AT-1", "AT-2", "AT-3", "AT-4", "AT-5", "AT-6", "AT-7", "AT-8", "AT-9"],
    },
    Country {
        code: "CA",
        name: "Canada",
        language: "EN",
        regions: &[
            "CA-AB", "CA-BC", "CA-MB", "CA-NB", "CA-NL", "CA-NS", "CA-NT", "CA-NU", "CA-ON", "CA-PE",
            "CA-QC", "CA-SK", "CA-YT",
        ],
    },
    Country {
        code: "CH",
        name: "Switzerland",
        language: "DE",
        regions: &[
            "CH-AG", "CH-AI", "CH-AR", "CH-BE", "CH-BL", "CH-BS", "CH-FR", "CH-GE", "CH-GL", "CH-GR",
            "CH-JU", "CH-LU", "CH-NE", "CH-NW", "CH-OW", "CH-SG", "CH-SH", "CH-SO", "CH-SZ", "CH-TG",
            "CH-TI", "CH-UR", "CH-VD", "CH-VS", "CH-ZG", "CH-ZH",
        ],
    },
    Country {
        code: "DE",
        name: "Germany",
        language: "DE",
        regions: &[
            "DE-BB", "DE-BE", "DE-BW", "DE-BY", "DE-HB", "DE-HE", "DE-HH", "DE-MV", "DE-NI", "DE-NW",
            "DE-RP", "DE-SH", "DE-SL", "DE-SN", "DE-ST", "DE-TH",
        ],
    },
    Country {
        code: "ES",
        name: "Spain",
        language: "ES",
        regions: &[
            "ES-AN", "ES-AR", "ES-AS", "ES-CB", "ES-CE", "ES-CL", "ES-CM", "ES-CN", "ES-CT", "ES-EX",
            "ES-GA", "ES-IB", "ES-MC", "ES-MD", "ES-ML", "ES-NC", "ES-PV", "ES-RI", "ES-VC",
        ],
    },
    Country {
        code: "FR",
        name: "France",
        language: "FR",
        regions: &[
            "FR-ARA", "FR-BFC", "FR-BRE", "FR-CVL", "FR-GES", "FR-HDF", "FR-IDF", "FR-NAQ", "FR-NOR",
            "FR-OCC", "FR-PAC", "FR-PDL", "FR-20R",
        ],
    },
    Country {
        code: "GB",
        name: "United Kingdom",
        language: "EN",
        regions: &["GB-ENG", "GB-NIR", "GB-SCT", "GB-WLS"],
    },
    Country {
        code: "IT",
        name: "Italy",
        language: "IT",
        regions: &[
            "IT-21", "IT-23", "IT-25", "IT-32", "IT-34", "IT-36", "IT-42", "IT-45", "IT-52", "IT-55",
            "IT-57", "IT-62", "IT-65", "IT-67", "IT-72", "IT-75", "IT-77", "IT-78", "IT-82", "IT-88",
        ],
    },
    Country {
        code: "NL",
        name: "Netherlands",
        language: "NL",
        regions: &[
            "NL-DR", "NL-FL", "NL-FR", "NL-GE", "NL-GR", "NL-LI", "NL-NB", "NL-NH", "NL-OV", "NL-UT",
            "NL-ZE", "NL-ZH",
        ],
    },
    Country {
        code: "US",
        name: "United States",
        language: "EN",
        regions: &[
            "US-AK", "US-AL", "US-AR", "US-AZ", "US-CA", "US-CO", "US-CT", "US-DC", "US-DE", "US-FL",
            "US-GA", "US-HI", "US-IA", "US-ID", "US-IL", "US-IN", "US-KS", "US-KY", "US-LA", "US-MA",
            "US-MD", "US-ME", "US-MI", "US-MN", "US-MO", "US-MS", "US-MT", "US-NC", "US-ND", "US-NE",
            "US-NH", "US-NJ", "US-NM", "US-NV", "US-NY", "US-OH", "US-OK", "US-OR", "US-PA", "US-RI",
            "US-SC", "US-SD", "US-TN", "US-TX", "US-UT", "US-VA", "US-VT", "US-WA", "US-WI", "US-WV",
            "US-WY",
        ],
    },
];
