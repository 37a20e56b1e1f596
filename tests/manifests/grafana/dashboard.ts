// What a dashboard's JSON may hold, and the panels that ours have: options and custom fields.
import type { Dashboard } from '@grafana/schema';
import type * as barchart from '@grafana/schema/dist/esm/raw/composable/barchart/panelcfg/x/BarChartPanelCfg_types.gen';
import type * as heatmap from '@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen';
import type * as stat from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type * as timeline from '@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen';
import type * as table from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type * as timeseries from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

export interface Grafana {
  dashboard: Dashboard;
  options: {
    barchart: barchart.Options;
    heatmap: heatmap.Options;
    stat: stat.Options;
    'state-timeline': timeline.Options;
    table: table.Options;
    timeseries: timeseries.Options;
  };
  custom: {
    barchart: barchart.FieldConfig;
    heatmap: heatmap.FieldConfig;
    'state-timeline': timeline.FieldConfig;
    table: table.FieldConfig;
    timeseries: timeseries.FieldConfig;
  };
}
