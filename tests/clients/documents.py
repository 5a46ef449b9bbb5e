"""A small collection that is the same everywhere: short documents in three languages, with a year and a language."""

ROWS = [
    ("cert", "Certificates", "To renew the certificate, run the renewal command and reload the proxy.", 2021, "en"),
    ("backup", "Backups", "A backup is copied to the second site every night and checked once a week.", 2020, "en"),
    ("restore", "Restoring", "Restoring a backup takes an hour; stop the service before you begin.", 2022, "en"),
    ("tide", "Tides", "The tide rises twice a day because the moon pulls at the sea.", 2018, "en"),
    ("bread", "Sourdough", "Sourdough bread rises slowly; its starter is flour and water that ferment.", 2019, "en"),
    ("pasta", "Pasta", "Cook pasta in salted water until it is firm to the bite.", 2019, "en"),
    ("harbour", "The harbour", "Ships wait outside the harbour until a berth is free.", 2023, "en"),
    ("crane", "Cranes", "A crane lifts containers from the ship to the quay.", 2023, "en"),
    ("pilot", "Pilots", "The pilot boards each large ship and steers it into port.", 2024, "en"),
    ("star", "Stars", "A star shines because hydrogen fuses to helium in its core.", 2017, "en"),
    ("comet", "Comets", "A comet is ice and dust, and grows a tail when it comes near the sun.", 2017, "en"),
    ("plate", "Earthquakes", "Earthquakes happen where plates of the crust slide past each other.", 2016, "en"),
    ("bee", "Bees", "Bees dance to tell each other where flowers are. 🐝", 2020, "en"),
    ("owl", "Owls", "An owl hears a mouse below the snow and flies without a sound. 🦉", 2021, "en"),
    ("tea", "Green tea", "Green tea tastes bitter when the water is too hot. 🍵", 2022, "en"),
    ("bike", "Brakes", "Worn brake pads squeal; replace them before the disc is scratched.", 2015, "en"),
    ("tyre", "Tyres", "A tyre with too little air wears at its edges.", 2015, "en"),
    ("vote", "Elections", "Votes are counted in public, and anyone may watch.", 2024, "en"),
    ("loan", "Loans", "The rate of a loan depends on how likely it is to be paid back.", 2014, "en"),
    ("rent", "Rent", "The rent may be raised once a year, and the tenant must be told in writing.", 2013, "en"),
    ("chess", "Chess", "In chess a pawn that reaches the last rank becomes another piece.", 2012, "en"),
    ("violin", "Violins", "A violin has four strings, tuned in fifths.", 2012, "en"),
    ("code", "Parsing", "The function parse_http_header() returns a list of name and value pairs.", 2024, "en"),
    ("ko-weather", "날씨", "내일 서울에는 비가 오고 바람이 강하게 불겠습니다.", 2023, "ko"),
    ("ko-food", "김치", "김치는 배추를 소금에 절이고 고춧가루로 양념하여 만든다.", 2021, "ko"),
    ("ko-train", "기차", "부산으로 가는 기차는 매시간 서울역에서 출발한다. 🚆", 2022, "ko"),
    ("ko-library", "도서관", "도서관은 월요일에 쉬고 책은 두 주 동안 빌릴 수 있다.", 2020, "ko"),
    ("de-garden", "Gärten", "Im Frühling werden die Rosen geschnitten und die Beete gedüngt.", 2019, "de"),
    ("de-train", "Züge", "Der Zug nach München fährt stündlich vom Hauptbahnhof ab.", 2018, "de"),
    ("de-cake", "Kuchen", "Für den Kuchen braucht man Mehl, Eier, Butter und Äpfel.", 2016, "de"),
    ("party", "Emoji", "🎉🎂🎈 Happy birthday! 🎁", 2024, "en"),
    ("long", "A walk", "The path follows the river. " * 60 + "At its end stands an old lighthouse.", 2011, "en"),
]

DOCUMENTS = [{"_id": id, "title": title, "text": text, "year": year, "lang": lang} for id, title, text, year, lang in ROWS]

QUESTIONS = [
    "how do I renew the certificate",
    "why does the sea rise",
    "기차는 언제 출발하나요",
    "ship in port",
    "Kuchen mit Äpfeln",
    "🎂 birthday",
    "parse_http_header",
]

TEXTS = [
    "A berth is free.",
    "한국어 문장입니다.",
    "emoji 🚢 and 🦉 between words",
    "The quick brown fox jumps over the lazy dog, twice, on a Tuesday in November.",
    "Ünïcödé",
    "a",
]
