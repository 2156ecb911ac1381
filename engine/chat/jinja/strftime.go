package jinja

import (
	"fmt"
	"strings"
	"time"
)

// strftime formats t as Python's datetime.strftime does in the C locale on Linux for a time without a zone.
func strftime(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		flag := byte(0)
		if c := format[i]; (c == '-' || c == '_' || c == '0' || c == '^' || c == '#') && i+1 < len(format) {
			flag = c
			i++
		}
		if s, ok := directive(t, format[i]); ok {
			b.WriteString(applyFlag(s, flag, format[i]))
			continue
		}
		b.WriteByte('%')
		if flag != 0 {
			b.WriteByte(flag)
		}
		b.WriteByte(format[i])
	}
	return b.String()
}

// applyFlag is glibc's: "-" drops the padding, "_" pads with blanks, "0" with zeros, "^" is upper case.
func applyFlag(s string, flag, directive byte) string {
	switch flag {
	case '-':
		if t := strings.TrimLeft(s, "0 "); strings.IndexByte("dmyHIMSjUWeklCgVGY", directive) >= 0 {
			if t == "" {
				return "0"
			}
			return t
		}
	case '_':
		if strings.IndexByte("dmyHIMSjUWCgV", directive) >= 0 {
			t := strings.TrimLeft(s[:len(s)-1], "0")
			return strings.Repeat(" ", len(s)-1-len(t)) + t + s[len(s)-1:]
		}
	case '0':
		if directive == 'e' || directive == 'k' || directive == 'l' {
			return strings.ReplaceAll(s, " ", "0")
		}
	case '^':
		return strings.ToUpper(s)
	case '#':
		if directive == 'p' {
			return strings.ToLower(s)
		}
		return strings.ToUpper(s)
	}
	return s
}

func directive(t time.Time, c byte) (string, bool) {
	switch c {
	case 'a':
		return t.Format("Mon"), true
	case 'A':
		return t.Format("Monday"), true
	case 'b', 'h':
		return t.Format("Jan"), true
	case 'B':
		return t.Format("January"), true
	case 'c':
		return t.Format("Mon Jan _2 15:04:05 2006"), true
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100), true
	case 'd':
		return t.Format("02"), true
	case 'D', 'x':
		return t.Format("01/02/06"), true
	case 'e':
		return t.Format("_2"), true
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000), true
	case 'F':
		return fmt.Sprintf("%d-%02d-%02d", t.Year(), int(t.Month()), t.Day()), true
	case 'H':
		return t.Format("15"), true
	case 'I':
		return t.Format("03"), true
	case 'j':
		return fmt.Sprintf("%03d", t.YearDay()), true
	case 'k':
		return fmt.Sprintf("%2d", t.Hour()), true
	case 'l':
		return fmt.Sprintf("%2d", (t.Hour()+11)%12+1), true
	case 'm':
		return t.Format("01"), true
	case 'M':
		return t.Format("04"), true
	case 'n':
		return "\n", true
	case 'p':
		return t.Format("PM"), true
	case 'P':
		return t.Format("pm"), true
	case 'r':
		return t.Format("03:04:05 PM"), true
	case 'R':
		return t.Format("15:04"), true
	case 's':
		return fmt.Sprint(t.Unix()), true
	case 'S':
		return t.Format("05"), true
	case 't':
		return "\t", true
	case 'T', 'X':
		return t.Format("15:04:05"), true
	case 'y':
		return t.Format("06"), true
	case 'Y':
		return fmt.Sprint(t.Year()), true
	case 'z', 'Z':
		return "", true // a time without a zone
	case '%':
		return "%", true
	}
	return weekDirective(t, c)
}

func weekDirective(t time.Time, c byte) (string, bool) {
	day := int(t.Weekday()) // from Sunday
	year, week := t.ISOWeek()
	switch c {
	case 'u':
		return fmt.Sprint((day+6)%7 + 1), true
	case 'w':
		return fmt.Sprint(day), true
	case 'U':
		return fmt.Sprintf("%02d", (t.YearDay()+6-day)/7), true
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-(day+6)%7)/7), true
	case 'V':
		return fmt.Sprintf("%02d", week), true
	case 'G':
		return fmt.Sprint(year), true
	case 'g':
		return fmt.Sprintf("%02d", year%100), true
	}
	return "", false
}
