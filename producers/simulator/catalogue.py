"""The simulated company: what it sells and where, whom customers talk to. All invented."""

from typing import Final, NamedTuple


class City(NamedTuple):
    """A city with the zone its customers' clocks show."""

    name: str
    zone_minutes: int


class Product(NamedTuple):
    """A product as each language calls it; `price_minor` in rials and in US cents."""

    sku: str
    fa: str
    en: str
    rials: int
    cents: int


# language -> cities
CITIES: Final = {
    "fa": tuple(
        City(name, 210)
        for name in (
            "تهران", "مشهد", "اصفهان", "شیراز", "تبریز", "کرج", "اهواز", "رشت", "یزد", "کرمان",
            "قم", "همدان", "ارومیه", "ساری", "بندرعباس", "قزوین",
        )
    ),
    "en": (
        City("Dubai", 240), City("Istanbul", 180), City("Berlin", 60), City("London", 0),
        City("Toronto", -300), City("Vienna", 60), City("Doha", 180), City("Tehran", 210),
    ),
}  # fmt: skip

PRODUCTS: Final = (
    Product("VC-200", "جاروبرقی رادین ۲۰۰", "Radin 200 vacuum cleaner", 78_000_000, 14_900),
    Product("WM-8K", "ماشین لباسشویی آروین", "Arvin washing machine", 265_000_000, 42_900),
    Product("RF-410", "یخچال فریزر کیان", "Kian fridge-freezer", 412_000_000, 68_500),
    Product("TV-55Q", "تلویزیون ۵۵ اینچ نورا", "Nora 55-inch television", 358_000_000, 52_900),
    Product("CM-12", "قهوه‌ساز لیان", "Lian coffee maker", 64_500_000, 11_900),
    Product("AF-5L", "سرخ‌کن بدون روغن پارس", "Pars air fryer", 58_900_000, 9_900),
    Product("WP-6", "تصفیه آب زلال ۶", "Zolal 6 water purifier", 92_000_000, 15_900),
    Product("AC-18", "کولر گازی ۱۸۰۰۰ نسیم", "Nasim 18000 air conditioner", 390_000_000, 61_000),
    Product("MW-30", "مایکروویو آتیس", "Atis microwave", 71_000_000, 12_500),
    Product("SP-B1", "اسپیکر بلوتوث آوا", "Ava bluetooth speaker", 24_900_000, 4_900),
    Product("RT-AX", "مودم روتر پیوند", "Peyvand router", 31_500_000, 6_900),
    Product("SH-3", "کتری برقی ساوین", "Savin electric kettle", 15_800_000, 3_400),
)

AGENTS: Final = {
    "fa": ("رضایی", "محمدی", "کریمی", "احمدی", "صادقی", "نوری", "موسوی", "حیدری"),
    "en": ("Sara", "Daniel", "Maya", "Tom", "Leila", "Omid", "Anna", "Kaveh"),
}

CAMPAIGNS: Final = ("yalda", "nowruz", "autumn-sale", "newsletter", "search-ads", "influencer")
REFERRERS: Final = (
    "https://www.google.com/", "https://www.instagram.com/", "https://www.bing.com/", "https://t.me/",
)  # fmt: skip
PAGES: Final = ("/", "/offers", "/categories/kitchen", "/categories/audio", "/blog", "/stores")
SEARCHES: Final = {
    "fa": ("جاروبرقی", "یخچال ارزان", "کولر گازی", "تخفیف", "قهوه ساز", "گارانتی"),
    "en": ("vacuum", "cheap fridge", "air conditioner", "discount", "coffee maker", "warranty"),
}
CALL_REASONS: Final = {
    "note": "question",
    "status": "order_status",
    "late": "late_delivery",
    "faulty": "defect",
    "ignored": "complaint",
    "leaving": "complaint",
    "praise": "feedback",
}
