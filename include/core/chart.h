/*
 * include/core/chart.h
 *
 * A chart as text: a line of braille dots, 2 x 4 in each character (Unicode 16, block Braille
 * Patterns), and marks for values that are measured now and then; axes with ticks (core/ticks.h).
 *
 *    title
 *    5 ┤⢱
 *      │ ⠑⠢●⡀
 *    3 ┤    ⠈⠉●⠒
 *      └┬───┬───┬
 *       0   5   10 step
 *    ⣀ loss 3.02  ● validation_loss 3.4
 */
#ifndef GPT_CHART_H
#define GPT_CHART_H

#define GPT_CHART_LEAST_WIDTH 30
#define GPT_CHART_MOST_WIDTH 400
#define GPT_CHART_LEAST_HEIGHT 8
#define GPT_CHART_MOST_HEIGHT 100
#define GPT_CHART_SERIES 2

typedef struct GptChartPoint
{
	double x;
	double y;
} GptChartPoint;

/* Points in the order of x, all of them finite; a line, or a mark for each. */
typedef struct GptChartSeries
{
	bool has_marks;
	int n;
	const GptChartPoint *points;
} GptChartSeries;

/* Texts are hostile: what would not be seen in them becomes a mark (core/visible.h). */
typedef struct GptChart
{
	int width; /* of the longest line, in columns of a terminal, within the bounds above */
	int height; /* lines, with title, axis and legend */
	const char *title;
	const char *x_name;
	const char *legend;
	GptChartSeries series[GPT_CHART_SERIES]; /* without points: not drawn */
} GptChart;

/* What the legend shows before the name of a series. */
extern const char *gpt_chart_key(bool has_marks);

/* The lines, without a line feed after the last; palloc'd. At least one series has points. */
extern char *gpt_chart_draw(const GptChart *chart);

#endif /* GPT_CHART_H */
