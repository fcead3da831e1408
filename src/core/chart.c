/*
 * src/core/chart.c
 *
 * Points go in, lines of text come out: a grid of dots between two axes.
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "core/chart.h"
#include "core/ticks.h"
#include "core/visible.h"

#define DOTS_ACROSS 2 /* of a character */
#define DOTS_DOWN 4
#define OTHER_LINES 4 /* title, axis, labels, legend */
#define LINES_PER_TICK 2
#define COLUMNS_PER_TICK 7
#define LEAST_RANGE 10 /* steps: of fewer, ticks would not be whole */
#define BRAILLE 0x2800
#define TICK_LEFT "\xe2\x94\xa4" /* ┤ */
#define EDGE_LEFT "\xe2\x94\x82" /* │ */
#define CORNER "\xe2\x94\x94" /* └ */
#define TICK_BELOW "\xe2\x94\xac" /* ┬ */
#define EDGE_BELOW "\xe2\x94\x80" /* ─ */
#define MARK "\xe2\x97\x8f" /* ● */
#define LINE_KEY "\xe2\xa3\x80" /* ⣀ */
#define ELLIPSIS "\xe2\x80\xa6" /* … */

/* The bits of the dots of a character, [row][column]. */
static const uint8 dots[DOTS_DOWN][DOTS_ACROSS] = {
	{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};

typedef struct Grid
{
	int columns;
	int rows;
	uint8 *dots; /* [rows][columns], from the top */
	bool *marks;
	double x_low, x_high, y_low, y_high;
	GptTicks x_ticks, y_ticks;
	int label_width; /* of the axis on the left */
} Grid;

static void measure(Grid *grid, const GptChart *chart);
static void draw_series(Grid *grid, const GptChartSeries *series);
static void write_rows(StringInfo text, const Grid *grid);
static void write_axis(StringInfo text, const Grid *grid, const char *x_name);
static void write_clipped(StringInfo text, const char *line, int width);

const char *
gpt_chart_key(bool has_marks)
{
	return has_marks ? MARK : LINE_KEY;
}

char *
gpt_chart_draw(const GptChart *chart)
{
	Grid grid = {.rows = chart->height - OTHER_LINES};
	StringInfoData text;

	initStringInfo(&text);
	measure(&grid, chart);
	grid.dots = palloc0((Size) grid.rows * grid.columns);
	grid.marks = palloc0((Size) grid.rows * grid.columns * sizeof(bool));
	for (int i = 0; i < GPT_CHART_SERIES; i++)
		draw_series(&grid, &chart->series[i]);
	write_clipped(&text, chart->title, chart->width);
	appendStringInfoChar(&text, '\n');
	write_rows(&text, &grid);
	write_axis(&text, &grid, chart->x_name);
	write_clipped(&text, chart->legend, chart->width);
	return text.data;
}

/* ---- Axes --------------------------------------------------------------- */

/* From the points to the ends of the axes; the labels on the left take their columns. */
static void
measure(Grid *grid, const GptChart *chart)
{
	char label[GPT_TICK_TEXT];

	grid->x_low = grid->y_low = INFINITY;
	grid->x_high = grid->y_high = -INFINITY;
	for (int i = 0; i < GPT_CHART_SERIES; i++)
	{
		const GptChartSeries *series = &chart->series[i];

		for (int j = 0; j < series->n; j++)
		{
			grid->x_low = fmin(grid->x_low, series->points[j].x);
			grid->x_high = fmax(grid->x_high, series->points[j].x);
			grid->y_low = fmin(grid->y_low, series->points[j].y);
			grid->y_high = fmax(grid->y_high, series->points[j].y);
		}
	}
	gpt_ticks_around(&grid->y_ticks, &grid->y_low, &grid->y_high, grid->rows / LINES_PER_TICK);
	for (int i = 0; i < grid->y_ticks.n; i++)
	{
		gpt_tick_text(label, &grid->y_ticks, i);
		grid->label_width = Max(grid->label_width, (int) strlen(label));
	}
	grid->columns = chart->width - grid->label_width - 2;
	grid->x_high = fmax(grid->x_high, grid->x_low + LEAST_RANGE);
	gpt_ticks(&grid->x_ticks, grid->x_low, grid->x_high, grid->columns / COLUMNS_PER_TICK);
}

/* 0 .. n - 1 */
static int
place_of(double value, double low, double high, int n)
{
	int place = (int) floor((value - low) / (high - low) * (n - 1) + 0.5);

	return Max(0, Min(place, n - 1));
}

/* The row of a tick of the axis on the left, from the top. */
static int
row_of_tick(const Grid *grid, int number)
{
	double value = gpt_tick_value(&grid->y_ticks, number);

	return grid->rows - 1 - place_of(value, grid->y_low, grid->y_high, grid->rows);
}

/* ---- Series ------------------------------------------------------------- */

static void
set_dot(Grid *grid, int x, int y)
{
	Size cell = (Size) (y / DOTS_DOWN) * grid->columns + x / DOTS_ACROSS;

	grid->dots[cell] |= dots[y % DOTS_DOWN][x % DOTS_ACROSS];
}

/* A line of dots, one for each step of the longer direction. */
static void
draw_line(Grid *grid, int x0, int y0, int x1, int y1)
{
	int n = Max(Max(abs(x1 - x0), abs(y1 - y0)), 1);

	for (int i = 0; i <= n; i++)
		set_dot(grid, x0 + (int) lround((double) (x1 - x0) * i / n),
				y0 + (int) lround((double) (y1 - y0) * i / n));
}

static void
draw_series(Grid *grid, const GptChartSeries *series)
{
	int last_x = 0;
	int last_y = 0;

	for (int i = 0; i < series->n; i++)
	{
		const GptChartPoint *point = &series->points[i];
		int across = grid->columns * (series->has_marks ? 1 : DOTS_ACROSS);
		int down = grid->rows * (series->has_marks ? 1 : DOTS_DOWN);
		int x = place_of(point->x, grid->x_low, grid->x_high, across);
		int y = down - 1 - place_of(point->y, grid->y_low, grid->y_high, down);

		CHECK_FOR_INTERRUPTS();
		if (series->has_marks)
			grid->marks[(Size) y * grid->columns + x] = true;
		else
			draw_line(grid, i > 0 ? last_x : x, i > 0 ? last_y : y, x, y);
		last_x = x;
		last_y = y;
	}
}

/* ---- Lines -------------------------------------------------------------- */

static void
append_braille(StringInfo text, uint8 bits)
{
	unsigned char bytes[4];

	unicode_to_utf8(BRAILLE + bits, bytes);
	appendBinaryStringInfo(text, (char *) bytes, 3);
}

/* Spaces at the end of a line are left out. */
static void
write_row(StringInfo text, const Grid *grid, int row)
{
	const uint8 *bits = grid->dots + (Size) row * grid->columns;
	const bool *marks = grid->marks + (Size) row * grid->columns;
	int n = grid->columns;

	while (n > 0 && bits[n - 1] == 0 && !marks[n - 1])
		n--;
	for (int i = 0; i < n; i++)
	{
		if (marks[i])
			appendStringInfoString(text, MARK);
		else if (bits[i] == 0)
			appendStringInfoChar(text, ' ');
		else
			append_braille(text, bits[i]);
	}
	appendStringInfoChar(text, '\n');
}

static void
write_rows(StringInfo text, const Grid *grid)
{
	for (int row = 0; row < grid->rows; row++)
	{
		char label[GPT_TICK_TEXT] = "";

		for (int i = 0; i < grid->y_ticks.n && label[0] == '\0'; i++)
			if (row_of_tick(grid, i) == row)
				gpt_tick_text(label, &grid->y_ticks, i);
		appendStringInfo(text, "%*s %s", grid->label_width, label,
						 label[0] != '\0' ? TICK_LEFT : EDGE_LEFT);
		write_row(text, grid, row);
	}
}

/* The axis below, then its labels, each in the middle under its tick where there is room. */
static void
write_axis(StringInfo text, const Grid *grid, const char *x_name)
{
	bool *ticks = palloc0(grid->columns * sizeof(bool));
	StringInfoData labels;
	int first = grid->label_width + 2;

	initStringInfo(&labels);
	for (int i = 0; i < grid->x_ticks.n; i++)
	{
		int column =
			place_of(gpt_tick_value(&grid->x_ticks, i), grid->x_low, grid->x_high, grid->columns);
		char label[GPT_TICK_TEXT];
		int begin;

		gpt_tick_text(label, &grid->x_ticks, i);
		begin = Min(first + column - (int) strlen(label) / 2,
					first + grid->columns - (int) strlen(label));
		if (begin < 0 || (labels.len > 0 && begin <= labels.len))
			continue;
		ticks[column] = true;
		appendStringInfo(&labels, "%*s%s", begin - labels.len, "", label);
	}
	if (labels.len + 1 + (int) strlen(x_name) <= first + grid->columns)
		appendStringInfo(&labels, " %s", x_name);
	appendStringInfo(text, "%*s %s", grid->label_width, "", CORNER);
	for (int i = 0; i < grid->columns; i++)
		appendStringInfoString(text, ticks[i] ? TICK_BELOW : EDGE_BELOW);
	appendStringInfo(text, "\n%s\n", labels.data);
}

/* A line of at most so many columns, whose end is cut off. */
static void
write_clipped(StringInfo text, const char *line, int width)
{
	size_t size = strlen(line);
	int used = 0;

	for (size_t at = 0; at < size;)
	{
		char mark[GPT_VISIBLE_MARK];
		int length = gpt_visible(mark, line + at, size - at);
		int columns = mark[0] != '\0' ? (int) strlen(mark) : Max(pg_dsplen(line + at), 0);

		if (used + columns > width - (at + length < size ? 1 : 0))
		{
			appendStringInfoString(text, ELLIPSIS);
			return;
		}
		if (mark[0] != '\0')
			appendStringInfoString(text, mark);
		else
			appendBinaryStringInfo(text, line + at, length);
		used += columns;
		at += length;
	}
}
