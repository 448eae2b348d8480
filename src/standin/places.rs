//! Where the service points of the stand-in stand: real cities with plausible streets, in several
//! countries and scripts.

/// How a street address is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// `129 Sutter St`
    NumberFirst,
    /// `Kölner Straße 45a`
    NumberLast,
    /// `神宮前3丁目12-5`
    Block,
}

/// A city.
#[derive(Clone, Copy, Debug)]
pub(super) struct City {
    /// As billing writes it: three letters.
    pub country: &'static str,
    /// Billing's code of the time zone.
    pub time_zone: &'static str,
    /// Hours from UTC, in winter.
    pub offset_hours: i8,
    pub state: &'static str,
    pub county: &'static str,
    pub name: &'static str,
    /// `#` stands for a digit.
    pub postal: &'static str,
    /// Millionths of a degree.
    pub latitude: i32,
    pub longitude: i32,
    pub form: Form,
    pub streets: &'static [&'static str],
}

macro_rules! cities {
    ($($name:literal, $county:literal, $state:literal, $country:literal, $postal:literal,
       $zone:literal $offset:literal, $latitude:literal $longitude:literal, $form:ident,
       [$($street:literal),*];)*) => {
        /// Every city, each as likely as the other.
        pub(super) const CITIES: &[City] = &[$(City {
            country: $country,
            time_zone: $zone,
            offset_hours: $offset,
            state: $state,
            county: $county,
            name: $name,
            postal: $postal,
            latitude: $latitude,
            longitude: $longitude,
            form: Form::$form,
            streets: &[$($street),*],
        },)*];
    };
}

cities! {
    "San Francisco", "San Francisco", "CA", "USA", "941##", "US-PAC" -8, 37_774_900 -122_419_400, NumberFirst,
        ["Sutter St", "Valencia St", "Divisadero St", "O'Farrell St"];
    "Albuquerque", "Bernalillo", "NM", "USA", "871##", "US-MOUN" -7, 35_084_400 -106_650_400, NumberFirst,
        ["Cañon Del Apache NE", "Central Ave SW", "Peña Blanca Rd"];
    "Chicago", "Cook", "IL", "USA", "606##", "US-CENT" -6, 41_878_100 -87_629_800, NumberFirst,
        ["N Milwaukee Ave", "W Fullerton Ave", "S Archer Ave"];
    "New York", "Kings", "NY", "USA", "112##", "US-EAST" -5, 40_678_200 -73_944_200, NumberFirst,
        ["Atlantic Ave", "Myrtle Ave", "Flatbush Ave & Empire Blvd"];
    "Montréal", "Montréal", "QC", "CAN", "H2X #A#", "CA-EAST" -5, 45_501_700 -73_567_300, NumberFirst,
        ["Rue Saint-Denis", "Boulevard René-Lévesque", "Avenue du Mont-Royal"];
    "Köln", "Köln", "NW", "DEU", "506##", "EU-CENT" 1, 50_937_500 6_960_300, NumberLast,
        ["Zülpicher Straße", "Aachener Straße", "Hürth-Efferener Weg"];
    "München", "München", "BY", "DEU", "803##", "EU-CENT" 1, 48_135_100 11_582_000, NumberLast,
        ["Lindwurmstraße", "Schleißheimer Straße", "Fürstenrieder Straße"];
    "Göteborg", "Göteborg", "O", "SWE", "411 ##", "EU-CENT" 1, 57_708_900 11_974_600, NumberLast,
        ["Södra Vägen", "Linnégatan", "Övre Husargatan"];
    "Malmö", "Skåne", "M", "SWE", "211 ##", "EU-CENT" 1, 55_605_000 13_003_800, NumberLast,
        ["Föreningsgatan", "Amiralsgatan", "Östra Förstadsgatan"];
    "Saint-Étienne", "Loire", "42", "FRA", "420##", "EU-CENT" 1, 45_439_700 4_387_200, NumberFirst,
        ["rue des Frères-Chappe", "place Jean-Jaurès", "boulevard Alexandre de Fraissinette"];
    "Besançon", "Doubs", "25", "FRA", "250##", "EU-CENT" 1, 47_237_800 6_024_100, NumberFirst,
        ["rue Mégevand", "Grande Rue", "quai Vauban"];
    "渋谷区", "東京都", "13", "JPN", "150-00##", "AS-JAPAN" 9, 35_664_000 139_698_200, Block,
        ["神宮前", "恵比寿西", "代々木"];
    "京都市", "京都府", "26", "JPN", "604-80##", "AS-JAPAN" 9, 35_011_600 135_768_100, Block,
        ["中京区河原町", "下京区四条", "左京区岡崎"];
    "Łódź", "Łódź", "LD", "POL", "90-0##", "EU-CENT" 1, 51_759_200 19_456_000, NumberLast,
        ["ulica Piotrkowska", "ulica Żeromskiego", "aleja Kościuszki"];
    "Gdańsk", "Gdańsk", "PM", "POL", "80-8##", "EU-CENT" 1, 54_352_000 18_646_600, NumberLast,
        ["ulica Długa", "ulica Świętojańska", "Podwale Przedmiejskie"];
}
