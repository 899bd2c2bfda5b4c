-- Says which competitors a property has, and makes the history of prices readable by stay and by day.
--
-- Why:      a competitor named its properties in its attributes, so that finding those of one property meant looking through all of an
--           owner's, and nothing bounded their number. The history is read by stay (what do they ask for these nights?) and by day (how
--           has it changed?), for which the key, by competitor first, is no help.
-- Lock:     the two indexes keep writers of competitor_prices out while they are built.
-- Way back: drop the table and the indexes. Competitors that were declared since are then found by nobody.
--
-- What stood in the attribute propertyIds is not taken over: no program of the platform has ever written it.

CREATE TABLE competitor_links (
    property   TEXT   NOT NULL,
    competitor TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    CONSTRAINT competitor_links_pk PRIMARY KEY (property, competitor),
    CONSTRAINT competitor_links_of_a_property FOREIGN KEY (property) REFERENCES entities (id) ON DELETE CASCADE,
    CONSTRAINT competitor_links_to_a_competitor FOREIGN KEY (competitor) REFERENCES entities (id) ON DELETE CASCADE
);

-- Whether a competitor competes with anybody else.
CREATE INDEX competitor_links_by_competitor ON competitor_links (competitor);

CREATE INDEX competitor_prices_by_stay ON competitor_prices (property, check_in, check_out, adults, competitor, seen_on);
CREATE INDEX competitor_prices_by_day ON competitor_prices (property, seen_on, check_in, check_out, adults, competitor);
