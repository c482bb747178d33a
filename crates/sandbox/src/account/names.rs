//! Words that the account is written in: names in several scripts, places, jobs, list and campaign titles.

/// First names that most contacts have; plain ASCII, so that addresses can be made of them.
pub(crate) const FIRST: &[&str] = &[
    "Ana", "Ben", "Carla", "David", "Ella", "Farid", "Grace", "Hugo", "Iris", "Jonas", "Karen", "Liam", "Maria",
    "Noah", "Olga", "Paul", "Quinn", "Rosa", "Sam", "Tara", "Umar", "Vera", "Will", "Xenia", "Yusuf", "Zara", "Debora",
    "Marcus", "Priya", "Kenji", "Amara", "Stefan", "Linda", "Robert", "Jennifer", "Michael", "Susan", "James",
    "Patricia", "Charles",
];

/// First names beyond ASCII.
pub(crate) const FIRST_UNICODE: &[&str] =
    &["Zoë", "José", "Øystein", "Łukasz", "Chloé", "Jürgen", "Νίκος", "Нина", "明", "さくら", "지훈", "Thảo", "Íñigo"];

/// First names written from right to left.
pub(crate) const FIRST_RTL: &[&str] = &["محمد", "فاطمة", "שרה", "דוד"];

/// What people put into a name field.
pub(crate) const FIRST_EMOJI: &[&str] = &["Sunny 🌞", "🌟 Star", "Mo 👩‍👩‍👧‍👦", "Ace ♠️"];

/// Last names.
pub(crate) const LAST: &[&str] = &[
    "Lang",
    "Smith",
    "Garcia",
    "Okafor",
    "Novak",
    "Larsen",
    "Rossi",
    "Kim",
    "Patel",
    "Müller",
    "Dubois",
    "Silva",
    "Ivanov",
    "Tanaka",
    "O'Brien",
    "van der Berg",
    "García Márquez",
    "Smith-Jones",
    "Nguyễn",
    "Yılmaz",
    "Þórsson",
    "Haddad",
    "Cohen",
    "Brown",
    "Johnson",
    "Williams",
    "Davis",
    "Miller",
    "Wilson",
    "Moore",
    "Taylor",
    "Anderson",
    "Thomas",
    "Jackson",
    "White",
];

/// Job titles.
pub(crate) const JOBS: &[&str] = &[
    "Musician",
    "Office Manager",
    "Owner",
    "Teacher",
    "Marketing Lead",
    "Nurse",
    "Software Engineer",
    "Accountant",
    "Head of R&D",
    "Volunteer",
    "Sales Director",
    "Événementiel",
    "Architect",
    "Student",
    "CEO / Founder",
];

/// Companies.
pub(crate) const COMPANIES: &[&str] = &[
    "Acme Corp.",
    "Northwind Traders",
    "Blue Door Bakery",
    "Smith & Sons",
    "Green Valley Nursery",
    "Café Ándale",
    "\"Quoted\" Goods, Inc.",
    "Harbor Lights Theatre",
    "City Dog Club",
    "Umbrella Tours",
    "株式会社さくら",
    "Stone Arch Dental",
];

/// City, state, postal code, country.
pub(crate) const PLACES: &[(&str, &str, &str, &str)] = &[
    ("Chicago", "Illinois", "60609", "United States"),
    ("Waltham", "MA", "02451", "United States"),
    ("Austin", "TX", "73301", "United States"),
    ("Loveland", "CO", "80538", "United States"),
    ("Portland", "OR", "97201", "United States"),
    ("Gainesville", "FL", "32601", "United States"),
    ("Toronto", "ON", "M5H 2N2", "Canada"),
    ("Montréal", "QC", "H2Y 1C6", "Canada"),
    ("London", "", "SW1A 1AA", "United Kingdom"),
    ("Köln", "NRW", "50667", "Germany"),
];

/// Streets.
pub(crate) const STREETS: &[&str] = &[
    "Main Street",
    "Kashmir Valley Road",
    "Oak Avenue",
    "Elm St., Apt. 4",
    "Rue de l'Église",
    "Harbour View",
    "2nd Ave",
];

/// Reasons for leaving.
pub(crate) const OPT_OUT_REASONS: &[&str] =
    &["I am no longer interested in this service.", "Too many emails", "I never signed up", "Otro motivo: \"ya no\""];

/// Notes about contacts.
pub(crate) const NOTES: &[&str] = &[
    "Met at the spring fair.",
    "Prefers calls after 5 pm.\nHas two dogs.",
    "Asked for an invoice \"as soon as possible\".",
    "This contact resubscribed.",
    "ממליצה על המוצר לכולם",
    "Loves the new menu 🍋",
];

/// Lists.
pub(crate) const LISTS: &[&str] = &[
    "General Interest",
    "Newsletter",
    "Customers",
    "Multiple purchases",
    "VIP",
    "Webinar 03/14/2025",
    "Prospects",
    "Event \"Open House\"",
    "Volunteers",
    "Donors 2024",
    "Donors 2025",
    "Trade show",
    "Website form",
    "Partners",
    "Press",
    "Alumni",
    "Lapsed",
    "Beta testers",
    "Holiday offers",
    "Loyalty programme",
];

/// Tags.
pub(crate) const TAGS: &[&str] = &[
    "Gold card member",
    "Dog owner",
    "Cat owner",
    "Local",
    "Wholesale",
    "Attended 2025",
    "Speaker",
    "Board",
    "Referral",
    "Coupon used",
    "Vegan",
    "Español",
    "Follow up",
    "Do not call",
    "Summer",
];

/// Custom fields: label, type, choices.
pub(crate) const CUSTOM_FIELDS: &[(&str, &str, &[&str])] = &[
    ("Vehicle make and model year", "string", &[]),
    ("Member since", "date", &[]),
    ("Favourite fruit", "single_select", &["Apple", "Pear", "Plum", "Açaí"]), // words: ok
    ("Interests", "multi_select", &["Music", "Sports", "Books", "Travel", "Cooking"]),
    ("Children", "number", &[]),
    ("Lifetime value", "currency", &[]),
    ("Last visit", "datetime", &[]),
    ("Nickname", "string", &[]),
    ("T-shirt size", "single_select", &["S", "M", "L", "XL"]),
    ("Referred by", "string", &[]),
];

/// Campaigns.
pub(crate) const CAMPAIGNS: &[&str] = &[
    "Newsletter for Dog Lovers",
    "Holiday Special",
    "Product news",
    "Webinar invitation",
    "We miss you",
    "Survey: 2 minutes",
    "Spring Sale 🌷",
    "Members' update",
    "Last chance!",
    "Événement d'automne",
    "Event reminder",
    "Thank you",
];

/// Segments: name.
pub(crate) const SEGMENTS: &[&str] =
    &["Re-engage contacts who did not open the last 5 campaigns.", "Most engaged", "New this month", "Birthdays"];
