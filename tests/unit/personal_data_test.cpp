// The filter for personal data: what it takes, and what looks like it and stays.
#include "data/personal_data.h"

#include <gtest/gtest.h>

#include <string>

namespace coxswain {
namespace {

std::string masked(const std::string& text) {
  static const PersonalData filter;
  PersonalCounts counts{};
  return filter.mask(text, counts);
}

void expect_stays(const std::string& text) { EXPECT_EQ(masked(text), text); }

TEST(PersonalData, EmailAddresses) {
  EXPECT_EQ(masked("Write to john.smith+x@mail.example.co.uk."), "Write to [E-MAIL].");
  EXPECT_EQ(masked("<a@b.de>,c_d@e-f.org"), "<[E-MAIL]>,[E-MAIL]");
  EXPECT_EQ(masked("j\xc3\xb6rg@m\xc3\xbcller.de"), "[E-MAIL]");
  for (const char* text : {"user@localhost", "@handle", "a @ b.com", "3@4", "x@y.z", "me@", "R@24/7", "foo@.com"}) {
    expect_stays(text);
  }
  expect_stays(std::string(100000, 'a') + "@");  // and soon
}

TEST(PersonalData, TelephoneNumbers) {
  for (const char* number : {"+49 30 1234567", "+1 (212) 555-0123", "+442079460958", "(212) 555-0123", "212-555-0123",
                             "212.555.0123", "212 555 0123", "+1 212 555 0123", "1 800 555 0199", "1-800-555-0199",
                             "01 23 45 67 89", "030 1234567", "0171/1234567", "020 7946 0958"}) {
    EXPECT_EQ(masked(std::string("Call ") + number + " now"), "Call [PHONE] now") << number;
    EXPECT_EQ(masked(std::string(number) + ".\n"), "[PHONE].\n") << number;
  }
  for (const char* text :
       {"2023-10-05",          "10/05/2023",       "05.10.2023 10:30", "192.168.100.200", "978-3-16-148410-0",
        "3.1415926535",        "1,234,567",        "555-1234",         "1914-1918",       "123456789012",
        "2 + 2 = 4",           "111-222-3333",     "212-555-01234",    "x+4930123456",    "0.123 456 789",
        "1000 2000 3000 4000", "a 10-20-30 split", "00:12:34.567",     "5'10\"",          "+5 -3",
        "2125550123",          "200 300 4000 500", "17 200 300 4000",  "212 555 01234",   "212 555  0123",
        "12212 555 0123",      "112 555 0123"}) {
    expect_stays(text);
  }
}

TEST(PersonalData, CardNumbersHaveACheckDigit) {
  EXPECT_EQ(masked("4111 1111 1111 1111"), "[CARD]");
  EXPECT_EQ(masked("card:5500-0055-5555-5559!"), "card:[CARD]!");
  EXPECT_EQ(masked("378282246310005"), "[CARD]");
  EXPECT_EQ(masked("4111111111111111 12/27"), "[CARD] 12/27");
  EXPECT_EQ(masked("4111 1111 1111 1111 123"), "[CARD] 123");  // with its security code
  for (const char* text : {"4111 1111 1111 1112", "1234 5678 9012 3456", "0000000000000000", "41111111111111112222222",
                           "9999 9999 9999 9995", "4111-1111", "0.4111111111111111"}) {
    expect_stays(text);
  }
  EXPECT_TRUE(is_card_number("6011111111111117"));
  EXPECT_TRUE(is_card_number("3530111333300000"));
  EXPECT_TRUE(is_card_number("30569309025904"));
  EXPECT_FALSE(is_card_number("79927398713"));  // Luhn's example is right, but no card has eleven digits
  EXPECT_FALSE(is_card_number(""));
}

TEST(PersonalData, KeysAndPasswords) {
  const std::string tail = "Ab3dEf6hIj9lMn2pQr5t";
  EXPECT_EQ(masked("key sk-" + tail + tail + " end"), "key [KEY] end");
  EXPECT_EQ(masked("AKIA"
                   "IOSFODNN7EXAMPLE"),
            "[KEY]");
  EXPECT_EQ(masked("ghp_" + tail + tail), "[KEY]");
  EXPECT_EQ(masked("hf_" + tail + tail), "[KEY]");
  EXPECT_EQ(masked("eyJ" + tail + ".eyJ" + tail + "." + tail), "[KEY]");
  EXPECT_EQ(masked("My password: hunter2hunter2, ok"), "My [KEY], ok");
  EXPECT_EQ(masked("API_KEY = \"abc123def456\""), "[KEY]\"");
  EXPECT_EQ(masked("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"), "[KEY]\n");
  for (const char* text :
       {"The password is required here", "sk-short", "password: secret", "a risk-based-assessment-of-things",
        "the API key of success", "Forgot your password? Reset it"}) {
    expect_stays(text);
  }
}

TEST(PersonalData, CountsByKindAndLeavesTheRest) {
  const PersonalData filter;
  PersonalCounts counts{};
  EXPECT_EQ(filter.mask("\xe2\x82\xac a@b.de, (212) 555-0123, c@d.de \xf0\x9f\x98\x80", counts),
            "\xe2\x82\xac [E-MAIL], [PHONE], [E-MAIL] \xf0\x9f\x98\x80");
  EXPECT_EQ(counts[static_cast<std::size_t>(PersonalKind::email)], 2);
  EXPECT_EQ(counts[static_cast<std::size_t>(PersonalKind::phone)], 1);
  EXPECT_EQ(counts[static_cast<std::size_t>(PersonalKind::card)], 0);
  EXPECT_EQ(filter.mask("", counts), "");
}

}  // namespace
}  // namespace coxswain
