/*
 * src/sql/report_plot.c
 *
 * Charts as inline SVG. The element has the width of the page and a fixed height, so texts keep
 * their size; its padding has the labels, and within it positions are in percent. Lines are in a
 * box of 1000 x 1000 that is stretched over the plot, with strokes that are not.
 */
#include "postgres.h"

#include <math.h>

#include "core/html.h"
#include "core/ticks.h"
#include "sql/report.h"

#define X_TICKS 5
#define Y_TICKS 5
#define BOX 1000

/* 0 .. 1 of the axis; y grows upwards. */
static double
x_of(const GptPlot *plot, double x)
{
	return (x - plot->x_low) / (plot->x_high - plot->x_low);
}

static double
y_of(const GptPlot *plot, double y)
{
	return 1 - (y - plot->y_low) / (plot->y_high - plot->y_low);
}

static void
begin_y(const GptPlot *plot, const GptTicks *ticks)
{
	char text[GPT_TICK_TEXT];

	for (int i = 0; i < ticks->n; i++)
	{
		double at = 100 * y_of(plot, gpt_tick_value(ticks, i));

		gpt_tick_text(text, ticks, i);
		appendStringInfo(plot->html,
						 "<line class=\"grid\" x1=\"0\" x2=\"100%%\" y1=\"%.2f%%\" y2=\"%.2f%%\"/>"
						 "<text x=\"-8\" y=\"%.2f%%\" dy=\"0.35em\" text-anchor=\"end\">%s</text>",
						 at, at, at, text);
	}
}

static void
begin_x(const GptPlot *plot)
{
	char text[GPT_TICK_TEXT];
	GptTicks ticks;

	gpt_ticks(&ticks, plot->x_low, plot->x_high, X_TICKS);
	for (int i = 0; i < ticks.n; i++)
	{
		double at = 100 * x_of(plot, gpt_tick_value(&ticks, i));

		gpt_tick_text(text, &ticks, i);
		appendStringInfo(plot->html,
						 "<line class=\"tick\" x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"100%%\" "
						 "y2=\"100%%\" transform=\"translate(0 4)\"/>"
						 "<text x=\"%.2f%%\" y=\"100%%\" dy=\"1.5em\" "
						 "text-anchor=\"middle\">%s</text>",
						 at, at, at, text);
	}
	appendStringInfoString(plot->html, "<text x=\"100%\" y=\"100%\" dy=\"2.9em\" "
									   "text-anchor=\"end\" class=\"name\">");
	gpt_html_text(plot->html, plot->x_name);
	appendStringInfoString(plot->html, "</text>");
}

void
gpt_plot_begin(GptPlot *plot)
{
	GptTicks ticks;

	if (plot->fixed)
		gpt_ticks(&ticks, plot->y_low, plot->y_high, Y_TICKS);
	else
		gpt_ticks_around(&ticks, &plot->y_low, &plot->y_high, Y_TICKS);
	if (plot->square && !plot->fixed)
	{
		plot->x_low = plot->y_low;
		plot->x_high = plot->y_high;
	}
	if (!(plot->x_high > plot->x_low))
		plot->x_high = plot->x_low + 1;
	appendStringInfo(plot->html,
					 "<svg class=\"plot%s\" role=\"img\" aria-labelledby=\"%s-t %s-d\">"
					 "<title id=\"%s-t\">",
					 plot->square ? " square" : "", plot->id, plot->id, plot->id);
	gpt_html_text(plot->html, plot->title);
	appendStringInfo(plot->html, "</title><desc id=\"%s-d\">", plot->id);
	gpt_html_text(plot->html, plot->description);
	appendStringInfoString(plot->html, "</desc><text x=\"-48\" y=\"-16\" class=\"name\">");
	gpt_html_text(plot->html, plot->y_name);
	appendStringInfoString(plot->html, "</text>");
	begin_y(plot, &ticks);
	begin_x(plot);
}

void
gpt_plot_line(const GptPlot *plot, const char *class_name, const GptPlotPoint *points, int n)
{
	appendStringInfo(plot->html,
					 "<svg width=\"100%%\" height=\"100%%\" overflow=\"visible\" viewBox=\"0 0 %d "
					 "%d\" preserveAspectRatio=\"none\">"
					 "<polyline class=\"%s\" points=\"",
					 BOX, BOX, class_name);
	for (int i = 0; i < n; i++)
	{
		if (isfinite(points[i].x) && isfinite(points[i].y))
			appendStringInfo(plot->html, "%.1f,%.1f ", BOX * x_of(plot, points[i].x),
							 BOX * y_of(plot, points[i].y));
	}
	appendStringInfoString(plot->html, "\"/></svg>");
}

void
gpt_plot_points(const GptPlot *plot, const char *class_name, const GptPlotPoint *points, int n)
{
	appendStringInfo(plot->html, "<g class=\"%s\">", class_name);
	for (int i = 0; i < n; i++)
	{
		if (isfinite(points[i].x) && isfinite(points[i].y))
			appendStringInfo(plot->html, "<circle cx=\"%.2f%%\" cy=\"%.2f%%\" r=\"%.1f\"/>",
							 100 * x_of(plot, points[i].x), 100 * y_of(plot, points[i].y),
							 points[i].size);
	}
	appendStringInfoString(plot->html, "</g>");
}

void
gpt_plot_end(const GptPlot *plot)
{
	appendStringInfoString(plot->html, "</svg>\n");
}

void
gpt_plot_legend(StringInfo html, const char *const (*items)[2], int n)
{
	appendStringInfoString(html, "<ul class=\"legend\">");
	for (int i = 0; i < n; i++)
	{
		appendStringInfo(html,
						 "<li><svg class=\"key\" aria-hidden=\"true\" viewBox=\"0 0 28 10\">"
						 "<line class=\"%s\" x1=\"1\" x2=\"27\" y1=\"5\" y2=\"5\"/></svg> ",
						 items[i][0]);
		gpt_html_text(html, items[i][1]);
		appendStringInfoString(html, "</li>");
	}
	appendStringInfoString(html, "</ul>\n");
}
