"""English: the development set (texts made up for this project) and the rules, one by one."""

import pytest

from streams.core.sentiment import score

COMPLAINTS = """\
I have been on hold for half an hour
Still waiting for my parcel, it was supposed to be here on Monday
The driver left the package in the rain and drove off
Your app crashes every time I open the cart
charged twice for the same order and nobody replies to my emails
The fridge you installed leaks water all over my kitchen floor
third time I'm calling about the same problem
I want my money back now
The technician never showed up
the shirt shrank after one wash
not worth the price
I would not recommend this shop to anyone
Delivery took three weeks and half of the items were missing
your agent hung up on me
no response from support since Tuesday
the zipper broke on the second day
The box was empty when I opened it
Tracking says delivered but I got nothing
You sent me the wrong size again
Cancel my account, I'm done with you
it worked for two days then died
I was told a refund would come in 5 days, it's been 20
Food arrived cold and the fries were soggy
The mobile app logs me out every five minutes
I can't log in since the last update
why was I billed for a plan I cancelled?
Battery barely lasts two hours
The picture looks nothing like the product
Staff were talking among themselves and ignored us
this is unacceptable
What a waste of money
Internet drops every evening, I work from home and lose clients
Very slow delivery
Warranty claim rejected for no reason
poor packaging, arrived with scratches
They promised a call back and never called
the charger gets so hot it burned my hand
Overpriced for what you get
I regret buying this phone
this company is a scam, stay away
nothing works
the courier threw the box over the fence
Order still shows processing after 10 days
Got someone else's order instead of mine
it's too small and returning it costs more than the item
Hidden fees at checkout
My bill went up by 30% without any notice
Nobody picks up the phone
Refund hasn't arrived
worst customer service ever!!!
The screen has dead pixels and the seller refuses to exchange
Rude cashier at the Elm Street store
missing two items from my order
The product is good but the delivery was a nightmare
my package is lost and your bot keeps sending me in circles
so disappointed
I'm not happy with the service
the update made everything worse
The installer drilled through a pipe and just left
I've called four times this week and each time I get a different answer
Two months in and the washing machine already makes a grinding sound
You took the money but there's no order in my account
The voucher code doesn't apply at checkout
My son's birthday was yesterday and the toy is still not here
Paid for express, got it after nine days
I explained my problem three times to three people
The installation guy scratched my new floor
chat bot is useless, I need a human being
Half the features don't work on iPad
They told me the part is on back order until June
Screen cracked on arrival
The meal was cold and an hour late
Why do I have to pay for your mistake?
Seriously? Another price increase?
Support keeps closing my ticket without answering
the seams came undone the first time I wore it
I asked for vegetarian and got chicken
ur app wont let me check out
Third technician in a month and the line is still noisy
no one told me the store would be closed
The return label you sent is invalid
I feel cheated
It smells like burnt plastic
took 45 minutes to reach a human
The mattress is way too hard and sags in the middle
Returned it six weeks ago and I'm yet to see my money
This phone heats up while charging, scared it will catch fire
delivery guy was yelling at my grandmother
not the first time you lose my parcel
I'd give zero stars if I could
very poor communication
The discount wasn't applied to my bill
I was charged a cancellation fee nobody mentioned
The blender stopped after two uses
Waited at home all day, nobody came
My complaint from last month was never answered
Video keeps buffering even on the fastest plan
If this isn't solved by Friday I will contact my lawyer
This is my sixth email. If I don't get my refund by Monday I'm going to my bank and the ombudsman
I'm begging you, please just send someone, I can't keep taking days off work
Thieves! You took $300 out of my account and now nobody answers!!!
I hate to bother you again but it's been a month and I really need that medication, please help
ABSOLUTELY DISGUSTING. NEVER AGAIN. CANCEL EVERYTHING.
The charger caught fire next to my kid's bed
I've been transferred seven times today, I'm exhausted and close to tears
Your rep called me an idiot and hung up. I want his manager's name
we are a small business and your outage cost us a whole day of sales, again
I will post every screenshot on Twitter until someone gives me my money back
The sauce was missing from my order
Colour is a bit different from the photo
It's slower than my old laptop
I find the new menu confusing
Packaging could be better
The jacket runs small, had to size up
didn't like the taste
A little pricey for what it does
The strap feels cheap
Website is slow today
The courier was ten minutes late and grumpy
Not my favourite, won't buy it a second time
the battery could last longer
Search results are often irrelevant
The ticket machine ate my card
I get a new error every time I hit pay
No one has contacted me since I reported the leak on Monday, water is coming through the ceiling
The assistant didn't seem to know the product
You advertised free delivery and then billed me for it
If someone doesn't ring me back today I'm closing all my accounts
The trousers fell apart in the wash
the agent kept reading from a script
My order has been stuck in the warehouse since last Thursday
Points from my last three purchases never showed up
I can't take this anymore, every week the same story with you people
the picture on the TV flickers
Overcooked steak, undercooked service
I don't see why I should pay for a repair under warranty
the queue was endless
only one of the two boxes arrived
""".splitlines()

NEUTRAL = """\
Where is my order?
How do I change my delivery address
I placed an order yesterday
Do you ship to Canada?
What are your opening hours on Sunday?
Can I return an item without the receipt?
my order number is 48213
Please update my phone number to 555 0132
I'd like to know the price of the premium plan
is this jacket available in blue?
The package was delivered on Monday
I received your email about the appointment
how long does the refund take
I want to return the shoes I bought last week
Does the warranty cover accidental damage?
Could you send me the invoice for March?
I ordered two chairs and a table
Need to reschedule my installation to Friday
what is the difference between basic and pro
hi
Hello, I have a question about my subscription
how can I cancel my subscription?
I'm calling to confirm my booking for tomorrow
Can someone tell me how to reset my password? Thanks
please confirm receipt of my documents
The technician will come between 9 and 12
I paid by credit card
Is there a late fee?
Which cable do I need for this model
I'll be at home after 5 pm
What happens if my parcel gets lost?
I moved to a new apartment, my new address is 12 Oak Road
ok
Thanks in advance for your answer
can you tell me when the store opens
my account is under the name Smith
how do I report a problem with a seller?
looking for a gift for my father, any suggestions?
I use the app on an Android phone
It's average, nothing more
Do I need to be home for the delivery?
I would like to exchange a shirt for a bigger size
can you confirm you got my payment
what's the maximum weight for a parcel
My contract ends in May
Is it possible to pay in instalments?
I want to add a second line to my plan
I ordered the grey one, size 9
Please send the technician after 3 pm
Where can I find the serial number?
The invoice was issued on 3 April
Good morning, I'm writing about order 5567
how much is shipping to Glasgow
I have two accounts and want to merge them
Is the store on King Street open today?
I sent the documents by email this morning
Can I track my order without an account
what's your return policy for opened items
I'd like to speak with someone about upgrading my plan
The courier called and we agreed on Thursday
Does this TV support HDMI 2.1?
my card expires next month, how do I update it
Could I get a copy of last month's bill?
I need a quote for 20 laptops
Are there any discounts for students?
which documents do I need for a warranty claim
please change the name on the booking to Anna Lee
It's the same model as before
when will the item be back in stock?
Hello, could you tell me the status of order 88213 please?
I'm thinking of switching from the monthly to the yearly plan, what changes?
I bought the 256 GB version in white
My flight lands at 6, can the driver wait?
How can I file a complaint?
the parcel weighs about two kilos
We have an appointment on Wednesday at 10
Who do I contact about a missing invoice?
Please leave it with the neighbour in flat 4
What is the late payment fee?
I spoke to Ahmed yesterday about my booking
what's covered if the screen breaks?
Can you resend the verification code?
sent you a DM
It comes in three colours
I'd like to pick the order up myself
My name is Peter and I'm the new account holder
Which plan includes roaming?
I've just sent the form back
The order was placed with my wife's card
Please call me after six
How many items can I return at once?
is express shipping available on weekends
We live on the third floor, there is a lift
What does error 403 mean?
I need an invoice with VAT
Could you explain the fees on my statement?
""".splitlines()

PRAISE = """\
Thanks, that fixed it
Great service, arrived a day early
The agent was patient and explained everything
no problems at all
I love these shoes
Fast delivery and well packed
Sara at the call centre was so helpful, thank you!
works perfectly, exactly as described
Best pizza in town
my issue was resolved within minutes
I had doubts but this exceeded my expectations
good value for money
Couldn't be happier with my purchase
the refund came through the same day, thanks
Really easy to use app
The technician was on time, polite and cleaned up after himself
Will definitely order again
10/10
Delivery was a bit late but the quality is excellent
not bad at all
Replacement arrived quickly and works fine
I can't complain, everything went smoothly
Thank you so much for the quick reply
Very happy with the new router, signal reaches every room
you guys are awesome
The fabric is soft and the colour is lovely
never had any issues with this store
Kudos to your support team
finally a company that listens to its customers
everything arrived intact
Friendly staff and clean store
The new version is much faster
setup took five minutes, super simple
I appreciate the follow-up call
Sound quality is amazing for the price
they replaced the broken one free of charge, no questions asked
smooth checkout, fair price
I highly recommend them
Impressed by how quickly you solved this
the sofa looks beautiful in our living room
Shoutout to Maria from billing, she sorted everything in two minutes
The new coffee machine makes mornings so much better
Arrived sooner than I thought
Honestly the best purchase I've made this year
Super comfy and true to size
courier was friendly and carried the box upstairs
App is intuitive and checkout takes seconds
My refund was processed without any fuss
five stars from me
Love how quiet this fan is
The team went out of their way to help
I was worried about buying online but it turned out great
great quality for such a low price
You saved my weekend, thank you
Internet has been rock solid since the upgrade
What a lovely shop, will be back
The kids adore it
replacement came the very next day
Clear instructions, assembled it in ten minutes
Really pleased with how my complaint was handled
Looks even better in person
It does exactly what it says on the tin
Your agent stayed on the line until it was fixed, brilliant
no complaints whatsoever
Tasty food, generous portions
thx, problem solved
Warranty repair was quick and free
fits like a glove
I've been a customer for ten years and never been let down
The installer arrived on time and left the place spotless
Chatted with Tom, got my answer in a minute, cheers
Third order from you and every one has been perfect!!!
The delay wasn't your fault and you kept me posted, thank you
I was furious last week but your manager made it right
Everything came in one piece despite the storm
Works as advertised
my mum is so happy with her new phone 😍
Quick, friendly and cheap. What else do you want?
Been using it for three months and no complaints
Your app has come a long way, well done
WOW!! What a service!!!
The fridge is silent and the delivery team took the old one away
The chat took two minutes and my problem was gone
My router was replaced without any questions
The whole process was effortless
What a difference, the new sofa is gorgeous
the driver called ahead and was right on time
Keep up the good work
I'm a fan for life
Best call centre experience I've ever had
Not a single scratch, packed with care
The bread is always fresh
Glad I switched to you
""".splitlines()


@pytest.mark.parametrize(
    ("label", "texts"), [("neg", COMPLAINTS), ("neu", NEUTRAL), ("pos", PRAISE)]
)
def test_development_set(label: str, texts: list[str]) -> None:
    assert [text for text in texts if score(text).label != label] == []


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("it is good", "pos"),
        ("it is not good", "neg"),
        ("not bad at all", "pos"),
        ("no problems at all", "pos"),
        ("couldn't be happier", "pos"),
        ("couldn’t be happier", "pos"),
        ("it doesn't work", "neg"),
        ("it works", "neu"),
        ("we'll see", "neu"),  # no "well" in it
        ("my problem was solved", "pos"),
        ("my problem was not solved", "neg"),
        ("please be quick and fix the issue", "neu"),  # wishes are not praise
        ("it used to be great", "neg"),
        ("thanks for nothing", "neg"),
        ("thanks in advance", "neu"),
        ("How do I change my address? Thanks", "neu"),
        ("why is it so slow?", "neg"),  # a question that complains
        ("is it slow?", "neu"),
        ("10/10", "pos"),
        ("one star", "neg"),
        ("😍😍", "pos"),
        ("😡", "neg"),
    ],
)
def test_rules(text: str, label: str) -> None:
    assert score(text).label == label


def test_the_clause_after_but_weighs_more() -> None:
    good_last = score("delivery was late but the quality is excellent")
    bad_last = score("the quality is excellent but delivery was late")
    assert good_last.score > 0 > bad_last.score


def test_intensifiers_and_diminishers() -> None:
    plain, strong, weak = (
        score(f"the agent was {degree}rude").score for degree in ("", "extremely ", "slightly ")
    )
    assert strong < plain < weak < 0


@pytest.mark.parametrize(
    ("text", "hint", "language"),
    [
        ("hello", None, "en"),
        ("Zustellung", None, "und"),
        ("Zustellung", "en-GB", "en"),
        ("12345 😡", None, "und"),
        ("", None, "und"),
        ("the driver said سلام to me", None, "en"),
        ("اپ Snapp کار نمی‌کنه", "en", "fa"),
        ("crashed!!", None, "en"),
    ],
)
def test_language(text: str, hint: str | None, language: str) -> None:
    assert score(text, hint).language == language


def test_at_most_eight_words() -> None:
    assert len(score("bad awful rude slow broken late dirty cold wrong fake").words) == 8


def test_long_runs_of_intensifiers_stay_bounded() -> None:
    assert score("very " * 2_000 + "good").score <= 1000
